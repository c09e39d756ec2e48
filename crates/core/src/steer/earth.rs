//! Which of two places is closer, in integers, so that every agent says the same.
//!
//! The distance is that on a map whose degrees of longitude are as long as they are halfway between both places: exact
//! enough to tell regions apart, and wrong by a few percent across a continent.

/// Hundredths of a degree around the earth.
const ROUND: i32 = 36_000;

/// The square of the distance of two places given as latitude and longitude in hundredths of a degree, in squares of
/// that unit.
pub(super) fn distance(here: (i16, i16), there: (i16, i16)) -> u64 {
    let of = |(north, east): (i16, i16)| (i32::from(north), i32::from(east));
    let ((north, east), (north2, east2)) = (of(here), of(there));
    let across = (east - east2).rem_euclid(ROUND);
    let across = u64::from(across.min(ROUND - across).unsigned_abs());
    let middle = ((north + north2) / 200).unsigned_abs().min(90) as usize;
    let across = (across * COSINE[middle]) >> 16;
    let up = u64::from(north.abs_diff(north2));
    across * across + up * up
}

/// The cosine of each whole degree from 0 to 90, in units of 2^-16.
const COSINE: [u64; 91] = {
    let mut table = [0; 91];
    let mut degree = 0;
    while degree < 91 {
        let x = degree as f64 * core::f64::consts::PI / 180.0;
        let (mut term, mut sum, mut n) = (1.0, 1.0, 1.0);
        while n < 20.0 {
            term = -term * x * x / ((2.0 * n - 1.0) * 2.0 * n);
            sum += term;
            n += 1.0;
        }
        table[degree] = (sum * 65_536.0 + 0.5) as u64;
        degree += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: (i16, i16) = (5252, 1340);
    const FRANKFURT: (i16, i16) = (5011, 868);
    const NEW_YORK: (i16, i16) = (4071, -7401);
    const TOKYO: (i16, i16) = (3568, 13_969);
    const SAN_FRANCISCO: (i16, i16) = (3777, -12_242);
    const SYDNEY: (i16, i16) = (-3387, 15_121);

    #[test]
    fn closer_is_closer() {
        for (here, near, far) in [
            (BERLIN, FRANKFURT, NEW_YORK),
            (NEW_YORK, SAN_FRANCISCO, TOKYO),
            (TOKYO, SYDNEY, NEW_YORK),
            (SAN_FRANCISCO, NEW_YORK, FRANKFURT),
            // Across the date line.
            ((0, 17_900), (0, -17_900), (0, 17_000)),
        ] {
            assert!(distance(here, near) < distance(here, far), "{here:?}");
            assert_eq!(distance(here, near), distance(near, here));
        }
        assert_eq!(distance((9000, 0), (9000, 17_999)), 0);
    }

    #[test]
    fn a_degree_is_a_degree() {
        assert_eq!(distance((0, 0), (0, 100)), 10_000);
        assert_eq!(distance((0, 0), (-100, 0)), 10_000);
        assert_eq!(distance((6000, 0), (6000, 200)), 10_000);
    }
}
