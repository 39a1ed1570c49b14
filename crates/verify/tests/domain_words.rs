//! The domain's obligations on words of a few bits, every draw of them, and on
//! machine words, random draws near edges.

use skep_isa::{Bits, W64, Word};
use skep_verify::domain::obligations::{Draw, Obligation, Plant, Source};
use skep_verify::domain::{Range, Register, Scalar, Sign, Tnum, W32};

/// Every draw, one after the other: an odometer whose digits are the words drawn.
struct Every<W: Register> {
    /// Every consistent scalar with every word that it contains; none, where there
    /// are too many to list.
    scalars: Vec<(Scalar<W>, W)>,
    /// Each word drawn, and how many words there are of its width.
    digits: Vec<(u32, u32)>,
    /// How many have been drawn this time.
    drawn: usize,
}

impl<W: Register<Bit = bool>> Every<W> {
    fn new(scalars: Vec<(Scalar<W>, W)>) -> Every<W> {
        Every { scalars, digits: Vec::new(), drawn: 0 }
    }

    fn draw(&mut self, radix: u32) -> u32 {
        if self.drawn == self.digits.len() {
            self.digits.push((0, radix));
        }
        self.drawn += 1;
        self.digits[self.drawn - 1].0
    }

    /// On to the next draw; one that was given up counts on where that was.
    fn advance(&mut self) -> bool {
        self.digits.truncate(self.drawn);
        self.drawn = 0;
        while let Some((digit, radix)) = self.digits.last_mut() {
            *digit += 1;
            if digit < radix {
                return true;
            }
            self.digits.pop();
        }
        false
    }
}

macro_rules! sources {
    ($($bits:literal $half:literal;)*) => {$(
        impl Source<Bits<$bits>> for Every<Bits<$bits>> {
            fn word(&mut self) -> Bits<$bits> {
                skep_isa::Word::lit(self.draw(1 << $bits).into())
            }
            fn half(&mut self) -> Bits<$half> {
                skep_isa::Word::lit(self.draw(1 << $half).into())
            }
            fn assume(&mut self, bit: bool) -> Option<()> {
                bit.then_some(())
            }
            fn scalar(&mut self) -> Option<(Scalar<Bits<$bits>>, Bits<$bits>)> {
                let radix = u32::try_from(self.scalars.len()).ok().filter(|len| *len > 0)?;
                let index = self.draw(radix) as usize;
                Some(self.scalars[index])
            }
        }
    )*};
}

sources! {
    2 1;
    4 2;
}

/// Every consistent scalar of two bits with every word that it contains.
fn two_bit_scalars() -> Vec<(Scalar<Bits<2>>, Bits<2>)> {
    let mut found = Vec::new();
    let mut source = Every::new(Vec::new());
    loop {
        if let Some(drawn) = Draw::<Bits<2>, _>::new(&mut source, None).scalar() {
            found.push(drawn);
        }
        if !source.advance() {
            return found;
        }
    }
}

/// How many draws there are, or the words of one for which the claim is false.
fn every<W>(
    source: &mut Every<W>,
    obligation: Obligation,
    plant: Option<Plant>,
) -> Result<u64, Vec<u32>>
where
    W: Register<Bit = bool>,
    Every<W>: Source<W>,
{
    source.digits.clear();
    source.drawn = 0;
    let mut draws = 0;
    loop {
        match obligation.claim::<W>(source, plant) {
            Some(true) => draws += 1,
            Some(false) => return Err(source.digits.iter().map(|digit| digit.0).collect()),
            None => {}
        }
        if !source.advance() {
            return Ok(draws);
        }
    }
}

fn check<W>(scalars: Vec<(Scalar<W>, W)>, obligations: impl Iterator<Item = Obligation>)
where
    W: Register<Bit = bool>,
    Every<W>: Source<W>,
{
    let mut source = Every::new(scalars);
    let mut total = 0;
    for obligation in obligations.filter(|obligation| obligation.least_bits() <= W::BITS) {
        match every(&mut source, obligation, None) {
            Ok(0) => panic!("{obligation}: nothing was drawn"),
            Ok(draws) => total += draws,
            Err(words) => panic!("{obligation} on {} bits: {words:?}", W::BITS),
        }
        for plant in obligation.plants() {
            let planted = every(&mut source, obligation, Some(*plant));
            assert!(planted.is_err(), "{obligation}: {plant:?} went unnoticed");
        }
    }
    println!("{total} draws on {} bits", W::BITS);
}

#[test]
fn single_views_hold_on_every_four_bits() {
    check::<Bits<4>>(
        Vec::new(),
        Obligation::all().into_iter().filter(|one| !one.is_about_scalars()),
    );
}

#[test]
fn scalars_of_one_operand_hold_on_every_two_bits() {
    check(
        two_bit_scalars(),
        Obligation::all().into_iter().filter(|one| one.is_about_scalars() && one.is_unary()),
    );
}

#[test]
fn scalars_of_two_operands_hold_on_every_two_bits() {
    // What has not been synchronised is a part of what has been, which only narrows it.
    let part = |one: &Obligation| matches!(one, Obligation::Transfer(..) | Obligation::Learn(..));
    check(
        two_bit_scalars(),
        Obligation::all()
            .into_iter()
            .filter(|one| one.is_about_scalars() && !one.is_unary() && !part(one)),
    );
}

#[test]
fn machine_words_smear_as_others_do() {
    // The machine counts zeros where the others shift.
    fn by_shifts<W: Word>(word: W) -> W {
        (0..W::BITS).fold(W::lit(0), |sum, amount| sum | word.shr(W::lit(amount.into())))
    }
    let mut random = Random::new(3);
    let words = (0..64).map(|bit| 1 << bit).chain([0, u64::MAX]);
    for word in words.chain(std::iter::repeat_with(|| random.draw()).take(10_000)) {
        assert_eq!(W64(word).smear(), by_shifts(W64(word)));
        assert_eq!(W32(word as u32).smear(), by_shifts(W32(word as u32)));
        assert_eq!(Bits::<16>::lit(word).smear(), by_shifts(Bits::<16>::lit(word)));
    }
}

/// Words near edges, and near words drawn before.
struct Random {
    rng: fastrand::Rng,
    last: u64,
}

impl Random {
    fn new(seed: u64) -> Random {
        Random { rng: fastrand::Rng::with_seed(seed), last: 0 }
    }

    fn next(&mut self) -> u64 {
        self.rng.u64(..)
    }

    fn draw(&mut self) -> u64 {
        let (choice, shift) = (self.next() % 8, self.next() % 64);
        let word = match choice {
            0 => self.next(),
            1 => self.next() >> shift,
            2 => 1 << shift,
            3 => (1 << shift) - 1,
            4 => !(self.next() >> shift),
            5 => self.next() % 4,
            _ => self.last.wrapping_add(self.next() % 5).wrapping_sub(2),
        };
        self.last = word;
        word
    }
}

impl Random {
    /// Two words around this one, in the order of `O`.
    fn around<O: Sign, W: Word<Bit = bool>>(&mut self, word: W) -> Range<W, O> {
        let ends = [W::lit(self.draw()), W::lit(self.draw())];
        let least = |a, b| if O::less::<W>(a, b) { a } else { b };
        let greatest = |a, b| if O::less::<W>(a, b) { b } else { a };
        Range::new(least(word, ends[0]), greatest(word, ends[1]))
    }
}

impl Source<W64> for Random {
    fn word(&mut self) -> W64 {
        W64(self.draw())
    }
    fn half(&mut self) -> W32 {
        W32(self.draw() as u32)
    }
    fn assume(&mut self, bit: bool) -> Option<()> {
        bit.then_some(())
    }
    fn scalar(&mut self) -> Option<(Scalar<W64>, W64)> {
        let (word, mask) = (self.word(), self.word());
        let scalar = Scalar {
            tnum: Tnum { value: word & !mask, mask },
            unsigned: self.around(word),
            signed: self.around(word),
            unsigned32: self.around(word.lower()),
            signed32: self.around(word.lower()),
        };
        // Known bits make a constant of a scalar only with all its views.
        let scalar = if scalar.is_consistent() { scalar } else { scalar.sync() };
        Some((scalar, word))
    }
}

#[test]
fn all_hold_on_random_machine_words() {
    for obligation in Obligation::all() {
        let mut source = Random::new(7);
        let (mut draws, mut tries) = (0, 0);
        while draws < 2_000 && tries < 200_000 {
            tries += 1;
            let state = source.rng.get_seed();
            match obligation.claim::<W64>(&mut source, None) {
                Some(held) => assert!(held, "{obligation}, from state {state:#x}"),
                None => continue,
            }
            draws += 1;
        }
        assert!(draws > 0, "{obligation}: nothing was drawn");
    }
}
