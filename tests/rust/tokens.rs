//! Splits Rust source into the tokens that the structure test reads. Leaves out comments, texts and characters.

/// A word, `::`, or one character of anything else. Texts and comments are left out.
pub struct Token<'a> {
    pub text: &'a str,
    /// From 1.
    pub line: usize,
}

/// The text of the token at `at`; nothing after the last.
pub fn text<'a>(tokens: &[Token<'a>], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.text)
}

/// All tokens of `source`, in order.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let length = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                found.push(Token {
                    text: &rest[..length],
                    line,
                });
            }
            length
        });
        line += rest[..length].bytes().filter(|byte| *byte == b'\n').count();
        rest = &rest[length..];
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How long the comment, text or character is that `rest` starts with, if it does.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        let mut depth = 0;
        for (at, _) in rest.match_indices(['/', '*']) {
            match rest.get(at..at + 2) {
                Some("/*") => depth += 1,
                Some("*/") => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(at + 2);
            }
        }
        return Some(rest.len());
    }
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or("");
        after.trim_start_matches('#').starts_with('"')
            && (prefix.ends_with('r') || after.starts_with('"'))
    });
    if let Some(prefix) = prefix {
        let hashes = rest[prefix.len()..]
            .bytes()
            .take_while(|b| *b == b'#')
            .count();
        let start = prefix.len() + hashes + 1;
        if prefix.ends_with('r') {
            let close = format!("\"{}", "#".repeat(hashes));
            return Some(
                rest[start..]
                    .find(&close)
                    .map_or(rest.len(), |at| start + at + close.len()),
            );
        }
        return Some(closed(rest, start, '"'));
    }
    let after = rest.strip_prefix('\'')?;
    let mut characters = after.chars();
    let first = characters.next()?;
    // `'a'` and `'\n'` are characters, `'a` is a lifetime.
    (first == '\\' || characters.next() == Some('\'')).then(|| closed(rest, 1, '\''))
}

/// Where the text that began before `start` is closed by `quote`, escapes heeded.
fn closed(rest: &str, start: usize, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest[start..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return start + at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
