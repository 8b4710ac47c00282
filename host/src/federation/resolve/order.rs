//! In which order to try servers: priority, and chance by weight (RFC 2782).

/// A server as its SRV record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_direct: bool,
}

/// A server with its place among others.
#[derive(Debug)]
pub(super) struct Weighted {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) offer: Offer,
    /// Whether DNSSEC secures the record.
    pub(super) is_secure: bool,
}

/// Orders the servers of both kinds together (XEP-0368 §3). `random` returns a number from 0 to
/// the one it is given, inclusive.
pub(super) fn order(
    mut offers: Vec<Weighted>,
    random: &mut dyn FnMut(u32) -> u32,
) -> Vec<(Offer, bool)> {
    // Those without weight first, so that they have a small chance to be chosen.
    offers.sort_by_key(|offer| (offer.priority, offer.weight));
    let mut ordered = Vec::new();
    while let Some(priority) = offers.first().map(|offer| offer.priority) {
        let count = offers.iter().take_while(|offer| offer.priority == priority).count();
        let same = offers.get(..count).unwrap_or_default();
        let sum = same.iter().map(|offer| u32::from(offer.weight)).sum();
        let wanted = random(sum);
        let mut reached = 0;
        let chosen = same.iter().position(|offer| {
            reached += u32::from(offer.weight);
            reached >= wanted
        });
        let Weighted { offer, is_secure, .. } = offers.remove(chosen.unwrap_or_default());
        ordered.push((offer, is_secure));
    }
    ordered
}

/// Chance, for [`order`].
pub(super) fn random(largest: u32) -> u32 {
    let mut bytes = [0; 8];
    crypto::random(&mut bytes);
    // Of 2⁶⁴ values, so that the remainder is even to a part in 2³².
    let value = u64::from_le_bytes(bytes) % (u64::from(largest) + 1);
    u32::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(list: &[(u16, u16, &str)]) -> Vec<Weighted> {
        let offer = |(priority, weight, host): &(u16, u16, &str)| Weighted {
            priority: *priority,
            weight: *weight,
            offer: Offer { host: (*host).to_owned(), port: 1, is_direct: host.starts_with('d') },
            is_secure: false,
        };
        list.iter().map(offer).collect()
    }

    fn hosts(list: &[(u16, u16, &str)], random: &mut dyn FnMut(u32) -> u32) -> Vec<String> {
        order(offers(list), random).into_iter().map(|(offer, _)| offer.host).collect()
    }

    #[test]
    fn priority_comes_first_over_both_kinds() {
        let list = [(20, 0, "a"), (10, 0, "b"), (5, 0, "direct"), (30, 0, "direct2")];
        assert_eq!(hosts(&list, &mut |_| 0), ["direct", "b", "a", "direct2"]);
    }

    #[test]
    fn chance_goes_by_weight() {
        let list = [(1, 60, "heavy"), (1, 0, "never"), (1, 40, "light")];
        assert_eq!(hosts(&list, &mut |_| 0), ["never", "light", "heavy"]);
        assert_eq!(hosts(&list, &mut |largest| largest), ["heavy", "light", "never"]);
        let mut heavy_first = 0;
        for _ in 0..2000 {
            heavy_first += u32::from(hosts(&list, &mut random)[0] == "heavy");
        }
        assert!((1080..1320).contains(&heavy_first), "{heavy_first} of 2000, 1200 expected");
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let list = vec![(0, u16::MAX, "a"); 64];
        assert_eq!(hosts(&list, &mut random).len(), 64);
    }
}
