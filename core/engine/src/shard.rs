//! Which shard an address belongs to.

/// How many virtual shards there are. Fixed: rows on disk are spread by it.
pub const SHARDS: u16 = 256;

/// Returns the actor, of `actors`, that owns a bare address.
#[must_use]
pub fn shard_of(bare: &str, actors: u16) -> u16 {
    actor_of(virtual_shard(bare), actors)
}

/// Returns the actor, of `actors`, that a virtual shard is mapped to.
pub(crate) fn actor_of(virtual_shard: u16, actors: u16) -> u16 {
    virtual_shard % actors.max(1)
}

/// Returns the virtual shard of a bare address.
pub(crate) fn virtual_shard(bare: &str) -> u16 {
    // FNV-1a. An attacker who picks addresses of one shard slows down those accounts only.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bare.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let folded = (hash >> 32) ^ hash;
    u16::try_from(folded % u64::from(SHARDS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_and_stays() {
        let on_first = (0..1000).filter(|n| shard_of(&format!("user{n}@a.example"), 2) == 0);
        assert!((400..600).contains(&on_first.count()));
        assert_eq!(shard_of("a@b", 0), 0);
        assert_eq!(shard_of("juliet@capulet.example", 4), shard_of("juliet@capulet.example", 4));
    }
}
