//! Whether the steps of an explanation agree with its answer, judged from the steps alone.

use ldclient::evaluation::{
    ExplainedChoice, ExplainedClause, ExplainedFlag, ExplainedRollout, ExplainedSegment,
};
use ldclient::model::Value;

/// The first step that contradicts the reason, or another step.
pub fn contradiction(flag: &ExplainedFlag) -> Option<String> {
    check(flag)
        .err()
        .map(|why| format!("{}: {why}", flag.reason.to_json()))
}

type Check = Result<(), String>;

fn check(flag: &ExplainedFlag) -> Check {
    let kind = flag.reason.member("kind").and_then(Value::as_str);
    let met: Vec<_> = flag.prerequisites.iter().map(|p| p.met).collect();
    let targets: Vec<_> = flag.targets.iter().map(|t| t.matched).collect();
    let rules: Vec<_> = flag.rules.iter().map(|r| r.matched).collect();
    let index = match flag.reason.member("ruleIndex") {
        Some(Value::Int(index)) => usize::try_from(*index).unwrap(),
        _ => usize::MAX,
    };
    let agrees = match kind {
        Some("OFF") => !flag.on && none(&met) && none(&targets) && none(&rules),
        Some("PREREQUISITE_FAILED") => {
            let key = flag.reason.member("prerequisiteKey").unwrap();
            let failed = until(&met, false);
            none(&targets)
                && none(&rules)
                && failed.is_some_and(|at| *key == Value::from(&*flag.prerequisites[at].key))
        }
        Some("TARGET_MATCH") => {
            let found = until(&targets, true);
            let given = found.map(|at| flag.targets[at].variation);
            all(&met, true) && none(&rules) && given == flag.variation.map(signed)
        }
        Some("RULE_MATCH") => {
            all(&met, true)
                && all(&targets, false)
                && until(&rules, true) == Some(index)
                && serves(&flag.rules[index].serves, flag.variation)
        }
        Some("FALLTHROUGH") => {
            all(&met, true)
                && all(&targets, false)
                && all(&rules, false)
                && serves(&flag.fallthrough, flag.variation)
        }
        // Without a reason, the evaluation ended in it, or below it.
        Some("ERROR") | None => has_problem(flag),
        Some(_) => false,
    };
    if !agrees {
        return Err("the steps do not lead to the reason".to_owned());
    }
    for needed in &flag.prerequisites {
        if let (Some(met), Some(other)) = (needed.met, &needed.flag) {
            let serves = other.on && other.variation.map(signed) == Some(needed.needs);
            if met != serves {
                return Err(format!("the prerequisite {}", needed.key));
            }
            check(other)?;
        }
    }
    for rule in &flag.rules {
        clauses(&rule.clauses, rule.matched)?;
    }
    Ok(())
}

/// As many as were asked are so, the others were not asked.
fn until(results: &[Option<bool>], last: bool) -> Option<usize> {
    let at = results.iter().position(|r| *r == Some(last))?;
    let alike = results[..at].iter().all(|r| *r == Some(!last));
    (alike && none(&results[at + 1..])).then_some(at)
}

fn all(results: &[Option<bool>], result: bool) -> bool {
    results.iter().all(|r| *r == Some(result))
}

fn none(results: &[Option<bool>]) -> bool {
    results.iter().all(Option::is_none)
}

fn signed(index: usize) -> i64 {
    i64::try_from(index).unwrap()
}

fn clauses(clauses: &[ExplainedClause], matched: Option<bool>) -> Check {
    let results: Vec<_> = clauses.iter().map(|c| c.matched).collect();
    let agrees = match matched {
        Some(true) => all(&results, true),
        Some(false) => until(&results, false).is_some(),
        None => true,
    };
    if !agrees {
        return Err(format!("the clauses {results:?} of a rule"));
    }
    for clause in clauses {
        let members: Vec<_> = clause.segments.iter().map(|s| s.member).collect();
        if let Some(matched) = clause
            .matched
            .filter(|_| !members.is_empty() && !clause.cut)
        {
            let any = if matched == clause.negate {
                all(&members, false)
            } else {
                until(&members, true) == Some(members.len() - 1)
            };
            if !any {
                return Err(format!("the segments {members:?} of a clause"));
            }
        }
        if clause.missing.is_some() && clause.matched == Some(true) {
            return Err("a clause matches what is missing".to_owned());
        }
        clause.segments.iter().try_for_each(segment)?;
    }
    Ok(())
}

fn segment(segment: &ExplainedSegment) -> Check {
    let rules: Vec<_> = segment.rules.iter().map(|r| r.matched).collect();
    let agrees = match (segment.by, segment.member) {
        (Some("included"), Some(true)) | (Some("excluded" | "missing"), Some(false)) => {
            none(&rules)
        }
        (Some("bigSegment"), Some(_)) => none(&rules),
        (Some("rule"), Some(true)) => until(&rules, true).is_some(),
        (Some("nothing"), Some(false)) => all(&rules, false),
        (_, None) => true,
        _ => false,
    };
    if !agrees {
        return Err(format!("the segment {}", segment.key));
    }
    for rule in &segment.rules {
        let results: Vec<_> = rule.clauses.iter().map(|c| c.matched).collect();
        match &rule.rollout {
            // All may match and yet the context not be in the share.
            Some(rollout) if all(&results, true) && rule.matched.is_some() => {
                clauses(&rule.clauses, Some(true))?;
                let below = rollout.bucket.is_none_or(|b| b < rollout.shares[0].end);
                if rule.matched != Some(below) || rollout.shares[0].chosen != rule.matched {
                    return Err(format!("the share of the segment {}", segment.key));
                }
            }
            _ => clauses(&rule.clauses, rule.matched)?,
        }
    }
    Ok(())
}

fn serves(choice: &ExplainedChoice, variation: Option<usize>) -> bool {
    let served = variation.map(signed);
    match (choice.variation, &choice.rollout) {
        (Some(fixed), None) => Some(fixed) == served,
        (None, Some(rollout)) => share_of(rollout) == served,
        _ => false,
    }
}

/// The share that was chosen, if the bucket lies in it and in no earlier one.
fn share_of(rollout: &ExplainedRollout) -> Option<i64> {
    let chosen: Vec<_> = rollout.shares.iter().map(|s| s.chosen).collect();
    let at = chosen.iter().position(|c| *c == Some(true))?;
    let others = chosen.iter().filter(|c| **c == Some(false)).count();
    let first = match rollout.bucket {
        None => 0,
        Some(bucket) => {
            let ends = rollout.shares.iter().position(|s| bucket < s.end);
            ends.unwrap_or(rollout.shares.len() - 1)
        }
    };
    (others + 1 == chosen.len() && first == at).then_some(rollout.shares[at].variation?)
}

/// Whether anything says what makes the flag malformed, or was left out.
fn has_problem(flag: &ExplainedFlag) -> bool {
    flag.problem.is_some()
        || flag
            .prerequisites
            .iter()
            .any(|p| p.cut || p.problem.is_some() || p.flag.as_deref().is_some_and(has_problem))
        || flag
            .rules
            .iter()
            .any(|r| r.problem.is_some() || r.clauses.iter().any(clause_has_problem))
}

fn clause_has_problem(clause: &ExplainedClause) -> bool {
    clause.cut
        || clause.problem.is_some()
        || clause.segments.iter().any(|s| {
            s.problem.is_some()
                || s.rules
                    .iter()
                    .any(|r| r.problem.is_some() || r.clauses.iter().any(clause_has_problem))
        })
}
