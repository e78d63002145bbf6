//! The framing of `text/event-stream`: bytes in, events out, by the rules of the WHATWG's HTML standard, section
//! "Interpreting an event stream". What an event means is left to `source`.
//!
//! 1. Lines end in LF, CR or CRLF, wherever the chunks are cut; a byte order mark at the start is dropped.
//! 2. An event is delivered at the blank line that ends it, and only if it had a `data` field. What is unfinished
//!    when the bytes end is never delivered.
//! 3. An event's data stays bytes: whoever parses it says whether they are well formed. Names and ids that are not
//!    UTF-8 get replacement characters.
//! 4. An event or line above the limit is an error, and so is every byte after it.

use std::fmt;

use memchr::{memchr, memchr2};

use super::room;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event {
        /// The `event` field, `message` where there was none.
        name: String,
        /// The `data` fields, joined by line feeds.
        data: Vec<u8>,
        /// The last `id` seen on the stream, empty where there was none.
        id: String,
    },
    /// A comment, which services send as a heartbeat.
    Comment,
    /// The `retry` field: the delay before reconnecting, in milliseconds.
    Retry(u64),
}

/// An event was larger than the parser's limit. The stream cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an event of the stream is larger than the limit of {} bytes",
            self.limit
        )
    }
}

impl std::error::Error for TooLarge {}

/// The parser of one connection. A new connection takes a new parser.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    failed: bool,
    /// The first bytes while they may still become a byte order mark; none once that is settled.
    head: Option<Vec<u8>>,
    /// A line whose end has not been seen.
    line: Vec<u8>,
    /// The last line ended in CR at the very end of a chunk: a LF that follows belongs to it.
    after_cr: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    id: Vec<u8>,
}

impl Parser {
    /// A parser that allows `limit` bytes for the data of an event, and for a line.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            failed: false,
            head: Some(Vec::new()),
            line: Vec::new(),
            after_cr: false,
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            id: Vec::new(),
        }
    }

    /// Takes the next bytes and gives `sink` each item that they complete, in order.
    ///
    /// # Errors
    /// [`TooLarge`], then and ever after; what was complete before has been delivered.
    pub fn feed(&mut self, mut chunk: &[u8], sink: &mut impl FnMut(Item)) -> Result<(), TooLarge> {
        while let Some(head) = &mut self.head {
            let Some((first, rest)) = chunk.split_first() else {
                return Ok(());
            };
            head.push(*first);
            chunk = rest;
            if head == BYTE_ORDER_MARK {
                self.head = None;
            } else if !BYTE_ORDER_MARK.starts_with(head) {
                let head = self.head.take().unwrap_or_default();
                self.lines(&head, sink)?;
            }
        }
        self.lines(chunk, sink)
    }

    fn lines(&mut self, mut chunk: &[u8], sink: &mut impl FnMut(Item)) -> Result<(), TooLarge> {
        if self.failed {
            return self.too_large();
        }
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = memchr2(b'\n', b'\r', chunk) {
            let line = &chunk[..end];
            if self.line.len() + line.len() > self.limit {
                return self.too_large();
            }
            if self.line.is_empty() {
                self.field(line, sink)?;
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.owned_field(line, sink)?;
            }
            let ended_by_cr = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            if ended_by_cr {
                match chunk.first() {
                    Some(b'\n') => chunk = &chunk[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        if self.line.len() + chunk.len() > self.limit {
            return self.too_large();
        }
        room::make(&mut self.line, chunk.len());
        self.line.extend_from_slice(chunk);
        Ok(())
    }

    /// A line that was put together from several chunks. The one long line of a large event becomes its data in
    /// place, so that it is held once and not twice.
    fn owned_field(
        &mut self,
        mut line: Vec<u8>,
        sink: &mut impl FnMut(Item),
    ) -> Result<(), TooLarge> {
        if self.has_data || !line.starts_with(b"data:") {
            let result = self.field(&line, sink);
            line.clear();
            self.line = line;
            return result;
        }
        let start = if line.get(5) == Some(&b' ') { 6 } else { 5 };
        line.drain(..start);
        self.data = line;
        self.has_data = true;
        Ok(())
    }

    fn field(&mut self, line: &[u8], sink: &mut impl FnMut(Item)) -> Result<(), TooLarge> {
        let (field, value) = match memchr(b':', line) {
            _ if line.is_empty() => {
                self.dispatch(sink);
                return Ok(());
            }
            Some(0) => {
                sink(Item::Comment);
                return Ok(());
            }
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                if self.data.len() + value.len() + usize::from(self.has_data) > self.limit {
                    return self.too_large();
                }
                room::make(&mut self.data, value.len() + 1);
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            b"id" if memchr(0, value).is_none() => {
                self.id.clear();
                self.id.extend_from_slice(value);
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                if let Some(milliseconds) = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok())
                {
                    sink(Item::Retry(milliseconds));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, sink: &mut impl FnMut(Item)) {
        let name = std::mem::take(&mut self.name);
        if !std::mem::take(&mut self.has_data) {
            return;
        }
        sink(Item::Event {
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                text(name)
            },
            data: std::mem::take(&mut self.data),
            id: text(self.id.clone()),
        });
    }

    /// Gives up, and gives the memory back.
    fn too_large(&mut self) -> Result<(), TooLarge> {
        self.failed = true;
        self.line = Vec::new();
        self.data = Vec::new();
        Err(TooLarge { limit: self.limit })
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn items(chunks: &[&[u8]]) -> Vec<Item> {
        let mut parser = Parser::new(LIMIT);
        let mut found = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, &mut |item| found.push(item)).unwrap();
        }
        found
    }

    fn event(name: &str, data: &str, id: &str) -> Item {
        Item::Event {
            name: name.to_owned(),
            data: data.as_bytes().to_vec(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn streams_are_read_by_the_table() {
        let table: &[(&str, &[u8], Vec<Item>)] = &[
            ("an event", b"event: put\ndata: {}\n\n", vec![event("put", "{}", "")]),
            ("no name", b"data: x\n\n", vec![event("message", "x", "")]),
            ("an empty name", b"event:\ndata: x\n\n", vec![event("message", "x", "")]),
            ("the last name counts", b"event: a\nevent: b\ndata: x\n\n", vec![event("b", "x", "")]),
            ("several data lines", b"data: a\ndata:b\ndata\n\n", vec![event("message", "a\nb\n", "")]),
            ("one leading space only", b"data:  x \n\n", vec![event("message", " x ", "")]),
            ("empty data is data", b"data\n\ndata:\n\n", vec![event("message", "", ""), event("message", "", "")]),
            ("two empty data lines", b"data\ndata\n\n", vec![event("message", "\n", "")]),
            ("a name without data is dropped", b"event: put\n\ndata: x\n\n", vec![event("message", "x", "")]),
            ("CR", b"event: a\rdata: x\r\r", vec![event("a", "x", "")]),
            ("CRLF", b"event: a\r\ndata: x\r\n\r\n", vec![event("a", "x", "")]),
            ("mixed ends", b"event: a\rdata: x\n\r\ndata: y\r\r", vec![event("a", "x", ""), event("message", "y", "")]),
            ("a byte order mark", b"\xEF\xBB\xBFdata: x\n\n", vec![event("message", "x", "")]),
            ("only one byte order mark", b"\xEF\xBB\xBF\xEF\xBB\xBFdata: x\n\n", vec![]),
            ("part of a byte order mark", b"\xEF\xBBdata: x\n\n", vec![]),
            ("comments", b":\n: hi\ndata: x\n:\n\n", vec![Item::Comment, Item::Comment, Item::Comment, event("message", "x", "")]),
            ("unknown fields", b"foo: a\nbar\n data: no\nData: no\ndata: x\n\n", vec![event("message", "x", "")]),
            ("the id stays", b"id: 1\ndata: x\n\ndata: y\n\nid\ndata: z\n\n", vec![event("message", "x", "1"), event("message", "y", "1"), event("message", "z", "")]),
            ("an id with NUL is ignored", b"id: 1\nid: 2\0\ndata: x\n\n", vec![event("message", "x", "1")]),
            ("an id without data counts later", b"id: 7\n\ndata: x\n\n", vec![event("message", "x", "7")]),
            ("retry", b"retry: 1500\nretry: 1x\nretry: -1\nretry:\nretry: 99999999999999999999999\nretry:20\n", vec![Item::Retry(1500), Item::Retry(20)]),
            ("colons in the value", b"data: {\"a\":\"b: c\"}\n\n", vec![event("message", "{\"a\":\"b: c\"}", "")]),
            ("unfinished", b"data: x\n", vec![]),
            ("unfinished line", b"data: x\n\ndata: y", vec![event("message", "x", "")]),
            ("blank lines", b"\n\n\r\r\r\n", vec![]),
            ("nothing", b"", vec![]),
        ];
        for (name, bytes, expected) in table {
            assert_eq!(&items(&[bytes]), expected, "{name}, at once");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(&items(&single), expected, "{name}, byte by byte");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_passed_on_in_data_and_replaced_in_names() {
        let found = items(&[b"event: \xFF\nid: \xC3\ndata: a\xFFb\n\n"]);
        assert_eq!(
            found,
            [Item::Event {
                name: "\u{FFFD}".to_owned(),
                data: b"a\xFFb".to_vec(),
                id: "\u{FFFD}".to_owned()
            }]
        );
    }

    #[test]
    fn an_event_over_the_limit_is_an_error_for_ever_and_one_at_the_limit_is_not() {
        let feed = |parser: &mut Parser, bytes: &[u8]| {
            let mut count = 0;
            parser.feed(bytes, &mut |_| count += 1).map(|()| count)
        };
        assert_eq!(feed(&mut Parser::new(10), b"data: 1234\n\n"), Ok(1));
        let full = b"data:12345\ndata:1234\n\n";
        assert_eq!(feed(&mut Parser::new(10), full), Ok(1));
        for too_large in [
            &b"data: 12345\n\n"[..],
            b"data: 12345",
            b"data:12345\ndata:12345\n\n",
            b":12345678901",
        ] {
            let mut parser = Parser::new(10);
            assert_eq!(
                feed(&mut parser, too_large),
                Err(TooLarge { limit: 10 }),
                "{too_large:?}"
            );
            assert_eq!(
                feed(&mut parser, b"\n\ndata: 1\n\n"),
                Err(TooLarge { limit: 10 })
            );
        }
        let mut slowly = Parser::new(10);
        let outcome: Result<Vec<_>, _> = b"data: 12345\n"
            .chunks(1)
            .map(|byte| feed(&mut slowly, byte))
            .collect();
        assert!(outcome.is_err());
    }

    #[test]
    fn an_event_of_ten_megabytes_in_one_line_arrives_whole() {
        let data = vec![b'x'; 10 << 20];
        let stream = [b"event: put\ndata: ", &data[..], b"\n\n"].concat();
        let mut parser = Parser::new(64 << 20);
        let mut found = Vec::new();
        for chunk in stream.chunks(16 * 1024) {
            parser.feed(chunk, &mut |item| found.push(item)).unwrap();
        }
        let [
            Item::Event {
                name, data: got, ..
            },
        ] = &found[..]
        else {
            panic!("{} items", found.len());
        };
        assert!(name == "put" && *got == data);
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"data: ".to_vec()),
            Just(b"data:{\"a\":1}".to_vec()),
            Just(b"event: put".to_vec()),
            Just(b"id: 1".to_vec()),
            Just(b"retry: 10".to_vec()),
            Just(b": c".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(BYTE_ORDER_MARK.to_vec()),
            Just(b"\xEF".to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_split_into_chunks_gives_the_same_items(bytes in pieces(), cuts in prop::collection::vec(0usize..300, 0..20)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks: Vec<&[u8]> = Vec::new();
            let mut start = 0;
            for cut in cuts {
                chunks.push(&bytes[start..cut]);
                start = cut;
            }
            chunks.push(&bytes[start..]);
            prop_assert_eq!(items(&chunks), items(&[&bytes]));
        }

        #[test]
        fn an_event_that_is_written_is_read_back(
            name in "[a-z]{1,8}", data in "[^\r\0]{0,60}", end in prop::sample::select(vec!["\n", "\r", "\r\n"])
        ) {
            let mut stream = format!("event: {name}{end}");
            for line in data.split('\n') {
                stream.extend(["data: ", line, end]);
            }
            stream.push_str(end);
            prop_assert_eq!(items(&[stream.as_bytes()]), vec![event(&name, &data, "")]);
        }

        #[test]
        fn no_bytes_panic_under_any_limit(bytes in pieces(), limit in 0usize..40) {
            let mut parser = Parser::new(limit);
            for chunk in bytes.chunks(3) {
                let _ = parser.feed(chunk, &mut |item| {
                    if let Item::Event { data, .. } = item {
                        assert!(data.len() <= limit);
                    }
                });
            }
        }
    }
}
