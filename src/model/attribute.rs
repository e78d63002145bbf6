//! References to attributes of a context: a name, or a path such as `/address/city` with `~0` and `~1` as escapes.
//! Source of the rules: the service's documentation of attribute references, and launchdarkly-server-sdk 9.20.

use std::fmt;

use super::keys::hash_of;

/// Where an attribute is found: its name, then the members to follow inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRef {
    /// As it was written; events report a redacted attribute in this form.
    raw: Box<str>,
    /// Name and members, where they are not what was written.
    components: Option<Box<[Box<str>]>>,
    role: Role,
    name_hash: u64,
}

/// What an attribute's name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `key`.
    Key,
    /// `kind`.
    Kind,
    /// `name`.
    Name,
    /// `anonymous`.
    Anonymous,
    /// Any other: an attribute of the application's own.
    Other,
}

impl From<&str> for Role {
    fn from(name: &str) -> Role {
        match name {
            "key" => Role::Key,
            "kind" => Role::Kind,
            "name" => Role::Name,
            "anonymous" => Role::Anonymous,
            _ => Role::Other,
        }
    }
}

/// Why a text is no attribute reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeError {
    /// Nothing, or a lone slash.
    Empty,
    /// A double slash or a slash at the end.
    Slash,
    /// A `~` that is not followed by 0 or 1.
    Escape,
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttributeError::Empty => "an attribute reference cannot be empty",
            AttributeError::Slash => "an attribute reference has a double or trailing slash",
            AttributeError::Escape => {
                "an attribute reference has a ~ that is not followed by 0 or 1"
            }
        })
    }
}

impl AttributeRef {
    /// Reads a reference: a plain name unless it starts with a slash.
    ///
    /// # Errors
    /// When the text is empty, has an empty component, or a bad escape.
    pub fn parse(text: &str) -> Result<AttributeRef, AttributeError> {
        if text.is_empty() || text == "/" {
            return Err(AttributeError::Empty);
        }
        let Some(path) = text.strip_prefix('/') else {
            return Ok(AttributeRef::new(text, None));
        };
        let components = path.split('/').map(unescape).collect::<Result<_, _>>()?;
        Ok(AttributeRef::new(text, Some(components)))
    }

    fn new(raw: &str, components: Option<Box<[Box<str>]>>) -> AttributeRef {
        let name = match &components {
            Some(components) => components.first().map_or("", |name| name),
            None => raw,
        };
        AttributeRef {
            role: Role::from(name),
            name_hash: hash_of(name),
            raw: raw.into(),
            components,
        }
    }

    /// The reference to the attribute of exactly this name, whatever characters it has.
    ///
    /// # Errors
    /// When the name is empty.
    pub fn literal(name: &str) -> Result<AttributeRef, AttributeError> {
        if name.is_empty() {
            return Err(AttributeError::Empty);
        }
        Ok(if name.starts_with('/') {
            let raw = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            AttributeRef::new(&raw, Some([name.into()].into()))
        } else {
            AttributeRef::new(name, None)
        })
    }

    /// The attribute's own name.
    #[must_use]
    #[inline]
    pub fn name(&self) -> &str {
        match &self.components {
            Some(components) => components.first().map_or("", |name| name),
            None => &self.raw,
        }
    }

    /// What the name means.
    #[must_use]
    #[inline]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The [`hash_of`] the name.
    #[must_use]
    #[inline]
    pub fn name_hash(&self) -> u64 {
        self.name_hash
    }

    /// The members to follow inside the attribute; empty for a plain name.
    #[must_use]
    #[inline]
    pub fn members(&self) -> &[Box<str>] {
        match &self.components {
            Some(components) => components.get(1..).unwrap_or(&[]),
            None => &[],
        }
    }

    /// Name and members together; never empty.
    #[must_use]
    pub fn components(&self) -> &[Box<str>] {
        match &self.components {
            Some(components) => components,
            None => std::slice::from_ref(&self.raw),
        }
    }

    /// The reference as text, escaped where needed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.raw
    }
}

fn unescape(component: &str) -> Result<Box<str>, AttributeError> {
    if component.is_empty() {
        return Err(AttributeError::Slash);
    }
    let mut out = String::with_capacity(component.len());
    let mut chars = component.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '~' => match chars.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(AttributeError::Escape),
            },
            c => c,
        });
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_leading_slash_is_a_name_as_it_stands() {
        let reference = AttributeRef::parse("a/b~2").unwrap();
        assert_eq!(reference.name(), "a/b~2");
        assert!(reference.members().is_empty());
    }

    #[test]
    fn paths_are_split_and_unescaped() {
        let reference = AttributeRef::parse("/a~1b/c~0d/~01").unwrap();
        let expected: [Box<str>; 3] = ["a/b".into(), "c~d".into(), "~1".into()];
        assert_eq!(reference.components(), &expected);
        assert_eq!(reference.as_str(), "/a~1b/c~0d/~01");
    }

    #[test]
    fn malformed_references_say_why() {
        for (text, error) in [
            ("", AttributeError::Empty),
            ("/", AttributeError::Empty),
            ("//", AttributeError::Slash),
            ("/a/", AttributeError::Slash),
            ("/a//b", AttributeError::Slash),
            ("/a~", AttributeError::Escape),
            ("/a~2", AttributeError::Escape),
        ] {
            assert_eq!(AttributeRef::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_literal_name_is_escaped_only_when_it_would_read_as_a_path() {
        assert_eq!(
            AttributeRef::literal("/a/~b").unwrap().as_str(),
            "/~1a~1~0b"
        );
        assert_eq!(AttributeRef::literal("a/~b").unwrap().as_str(), "a/~b");
    }
}
