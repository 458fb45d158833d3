//! Random values: mostly such as make sense, now and then such as nobody should send.

/// SplitMix64: small, and the same in every replay.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// One of the tame values, or of the wild ones in one of 30 cases.
    fn of(&mut self, tame: &[&str], wild: &[&str]) -> String {
        if self.one_in(30) {
            return match self.below(wild.len() + 2) {
                0 => "w".repeat(1 << (self.below(23))),
                1 => {
                    (0..1 + self.below(40)).map(|_| char::from_u32(self.below(0xd800) as u32).unwrap_or('?')).collect()
                }
                at => wild[at - 2].to_owned(),
            };
        }
        self.pick(tame).to_owned()
    }

    pub(crate) fn name(&mut self) -> String {
        const WILD: [&str; 9] =
            ["", "\0", "a\nb", "../../etc/passwd", "BuiltIn::HttpActivity", "\u{202e}evil", "Nobody", "@", " "];
        self.of(&["WildActivity", "WildActivity", "WildActivity", "Wild", "a", "b"], &WILD)
    }

    pub(crate) fn event(&mut self) -> String {
        self.of(&["a", "b", "A"], &["", "\0", "a/b", "\u{fffd}", "..", "a\r\nset-cookie: b"])
    }

    pub(crate) fn id(&mut self) -> String {
        const WILD: [&str; 12] = [
            "",
            "@entity@key",
            "../same",
            "a/b",
            "a\\b",
            "a#b",
            "a?b",
            "\0",
            "\u{7f}",
            "\u{202e}id",
            "ｓａｍｅ",
            "%2e%2e%2f",
        ];
        self.of(&["wild-1", "wild-2", "same", "child", "nobody"], &WILD)
    }

    pub(crate) fn json(&mut self) -> Option<String> {
        const WILD: [&str; 8] =
            ["", "{", "[1,]", "nul", "\"\\ud800\"", "1e999999999", "{\"a\":1,\"a\":2}", "\u{feff}1"];
        if self.one_in(60) {
            let depth = 1 << self.below(16);
            return Some("[".repeat(depth) + &"]".repeat(depth));
        }
        let number = self.next().to_string();
        (!self.one_in(4)).then(|| self.of(&["1", "null", "\"text\"", "{\"a\":[1,2]}", &number], &WILD))
    }

    pub(crate) fn time(&mut self) -> String {
        const WILD: [&str; 6] =
            ["", "tomorrow", "-009999-01-02T01:59:59Z", "9000-01-01T00:00:00Z", "2026-01-01", "99999-01-01T00:00:00Z"];
        self.of(&["2000-01-01T00:00:00Z", "1970-01-01T00:00:00.000001Z"], &WILD)
    }

    pub(crate) fn ms(&mut self) -> f64 {
        const WILD: [f64; 8] = [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300, 1e15];
        if self.one_in(30) { self.pick(&WILD) } else { self.pick(&[1.0, 2.5, 20.0]) }
    }

    pub(crate) fn maybe_ms(&mut self) -> Option<f64> {
        self.one_in(3).then(|| self.ms())
    }

    /// A handle: one of those there are, or any number.
    pub(crate) fn task(&mut self, made: &[u32]) -> u32 {
        if made.is_empty() || self.one_in(40) {
            return self.pick(&[0, 1, 2, 7, 100_000, u32::MAX - 1, u32::MAX]);
        }
        self.pick(made)
    }
}
