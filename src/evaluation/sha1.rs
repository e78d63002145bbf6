//! SHA-1 of a short text in parts, without an allocation: the block is filled in place and hashed by the crate's own
//! function, which uses the processor's instructions where it has them.

use sha1::block_api::compress;

const BLOCK: usize = 64;

/// A hash under way.
pub(super) struct Sha1 {
    state: [u32; 5],
    block: [u8; BLOCK],
    /// How many bytes were added.
    length: usize,
}

impl Sha1 {
    pub(super) fn new() -> Sha1 {
        Sha1 {
            state: [
                0x6745_2301,
                0xEFCD_AB89,
                0x98BA_DCFE,
                0x1032_5476,
                0xC3D2_E1F0,
            ],
            block: [0; BLOCK],
            length: 0,
        }
    }

    #[inline]
    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        let mut filled = self.length % BLOCK;
        self.length += bytes.len();
        while bytes.len() >= BLOCK - filled {
            let (now, later) = bytes.split_at(BLOCK - filled);
            self.block[filled..].copy_from_slice(now);
            compress(&mut self.state, &[self.block]);
            (bytes, filled) = (later, 0);
        }
        self.block[filled..filled + bytes.len()].copy_from_slice(bytes);
    }

    /// The first 64 bits of the hash.
    pub(super) fn first_half(mut self) -> u64 {
        let filled = self.length % BLOCK;
        self.block[filled] = 0x80;
        if self.length >= BLOCK {
            self.block[filled + 1..].fill(0);
        }
        if filled + 1 > BLOCK - 8 {
            compress(&mut self.state, &[self.block]);
            self.block = [0; BLOCK];
        }
        let bits = self.length as u64 * 8;
        self.block[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        compress(&mut self.state, &[self.block]);
        u64::from(self.state[0]) << 32 | u64::from(self.state[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_in_any_parts_hash_as_the_crate_hashes_them() {
        use sha1::Digest;
        let text: Vec<u8> = (0_u8..=200).collect();
        for length in 0..text.len() {
            let text = &text[..length];
            let digest = sha1::Sha1::digest(text);
            let expected = u64::from_be_bytes(digest[..8].try_into().unwrap());
            for cut in [0, 1, 63, 64, 65, 130] {
                let (first, second) = text.split_at(cut.min(length));
                let mut hash = Sha1::new();
                hash.add(first);
                hash.add(second);
                assert_eq!(hash.first_half(), expected, "{length} bytes cut at {cut}");
            }
        }
    }
}
