//! Memory for large texts that arrive: all of it goes back to the system when the text is dropped.
//!
//! Allocators ask the system for large pieces one by one and give them back one by one; what is smaller is taken from
//! memory that they keep. glibc learns: once a piece of up to 32 MiB was freed, it keeps the next one of that size. So a
//! text that grew bit by bit would stay in each process's own memory long after it was read.

use std::io::{self, Read};

/// Texts below this take what they need: that is little.
const SMALL: usize = 64 * 1024;
/// Above what any allocator keeps. Of memory that is not touched there is only the address.
const LARGE: usize = 33 * 1024 * 1024;

/// Makes room for so many bytes more.
pub(super) fn make(text: &mut Vec<u8>, more: usize) {
    let needed = text.len() + more;
    if (SMALL..LARGE).contains(&needed) && text.capacity() < LARGE {
        // Where there is no such room (a limit on addresses), the text grows as it can.
        let _ = text.try_reserve_exact(LARGE - text.len());
    }
}

/// Reads to the end.
pub(super) fn read_whole(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let small = SMALL as u64;
    if reader.by_ref().take(small).read_to_end(&mut text)? as u64 == small {
        make(&mut text, 1);
        reader.read_to_end(&mut text)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_text_is_read_whole_into_one_large_piece() {
        for size in [0, 1, SMALL - 1, SMALL, SMALL + 1, 1 << 20] {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
            let text = read_whole(&bytes[..]).unwrap();
            assert!(text == bytes, "{size}");
            assert_eq!(text.capacity() >= LARGE, size >= SMALL, "{size}");
        }
    }

    #[test]
    fn a_text_that_grows_is_moved_once() {
        let mut text = Vec::new();
        let mut places = std::collections::HashSet::new();
        for _ in 0..100 {
            make(&mut text, SMALL);
            text.resize(text.len() + SMALL, b'x');
            places.insert(text.as_ptr());
        }
        assert_eq!(places.len(), 1);
        assert_eq!(text.len(), 100 * SMALL);
    }
}
