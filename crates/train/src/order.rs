//! Which examples make an update. The seed and the number of the update decide, so a run goes on where it was.

use surefoot_model::draws::{Draws, hash};

use crate::settings::{Batch, Settings};

pub struct Order {
    /// Tokens of each example.
    lengths: Vec<usize>,
    batch: Batch,
    seed: u64,
    /// How many updates there were before the end of each epoch.
    ends: Vec<u64>,
    /// The batches of the epoch that was asked for last.
    epoch: Option<(u64, Vec<Vec<usize>>)>,
}

impl Order {
    pub fn new(lengths: Vec<usize>, settings: &Settings) -> Self {
        let mut order = Self {
            lengths,
            batch: settings.batch,
            seed: settings.seed,
            ends: vec![],
            epoch: None,
        };
        let most = settings.updates.unwrap_or(u64::MAX);
        let mut updates = 0;
        for epoch in 0..settings.epochs {
            updates += match settings.batch {
                Batch::Examples(count) => order.lengths.len().div_ceil(count) as u64,
                Batch::Tokens(_) => order.batches(epoch).len() as u64,
            };
            order.ends.push(updates.min(most));
            if updates >= most {
                break;
            }
        }
        order
    }

    /// How many updates there are in all.
    pub fn updates(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The epoch of an update, from 0, and the numbers of its examples.
    pub fn batch(&mut self, update: u64) -> (u64, Vec<usize>) {
        let epoch = self.ends.partition_point(|&end| end <= update) as u64;
        if self.epoch.as_ref().is_none_or(|(cached, _)| *cached != epoch) {
            self.epoch = Some((epoch, self.batches(epoch)));
        }
        let before = epoch.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        let batches = self.epoch.as_ref().map_or(&[][..], |(_, batches)| batches);
        (epoch, batches[(update - before) as usize].clone())
    }

    fn batches(&self, epoch: u64) -> Vec<Vec<usize>> {
        let shuffled = self.shuffled(epoch);
        match self.batch {
            Batch::Examples(count) => shuffled.chunks(count).map(<[usize]>::to_vec).collect(),
            Batch::Tokens(most) => portions(&shuffled, &self.lengths, most),
        }
    }

    /// Fisher and Yates.
    fn shuffled(&self, epoch: u64) -> Vec<usize> {
        let draws = Draws::new(self.seed, hash(&[b"order"]), epoch);
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        for last in (1..order.len()).rev() {
            let draw = draws.uniform(last as u32, 0);
            order.swap(last, (draw * (last + 1) as f64) as usize);
        }
        order
    }
}

/// Cuts examples into portions of at most `most` tokens; a longer example is one of its own.
pub fn portions(examples: &[usize], lengths: &[usize], most: usize) -> Vec<Vec<usize>> {
    let mut portions: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for &example in examples {
        match portions.last_mut() {
            Some(portion) if tokens + lengths[example] <= most => portion.push(example),
            _ => {
                portions.push(vec![example]);
                tokens = 0;
            }
        }
        tokens += lengths[example];
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(batch: Batch) -> Settings {
        Settings {
            batch,
            epochs: 3,
            seed: 5,
            ..Settings::default()
        }
    }

    #[test]
    fn every_epoch_has_each_example_once_in_another_order() {
        let lengths: Vec<usize> = (0..103).map(|i| 5 + i * 7 % 40).collect();
        for batch in [Batch::Examples(8), Batch::Tokens(64)] {
            let mut order = Order::new(lengths.clone(), &settings(batch));
            let mut again = Order::new(lengths.clone(), &settings(batch));
            let mut epochs = vec![Vec::new(); 3];
            for update in 0..order.updates() {
                let (epoch, examples) = order.batch(update);
                if let Batch::Tokens(most) = batch {
                    assert!(examples.iter().map(|&i| lengths[i]).sum::<usize>() <= most);
                }
                epochs[epoch as usize].extend(examples);
            }
            for update in (0..again.updates()).rev() {
                assert_eq!(again.batch(update), order.batch(update), "{update}");
            }
            assert_ne!(epochs[0], epochs[1]);
            for mut epoch in epochs {
                epoch.sort_unstable();
                assert_eq!(epoch, (0..103).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn updates_end_where_they_are_told_to() {
        let mut some = settings(Batch::Examples(10));
        some.updates = Some(7);
        assert_eq!(Order::new(vec![1; 42], &some).updates(), 7);
        some.updates = Some(100);
        assert_eq!(Order::new(vec![1; 42], &some).updates(), 15);
    }

    #[test]
    fn an_example_longer_than_a_portion_is_one_of_its_own() {
        assert_eq!(
            portions(&[0, 1, 2, 3], &[3, 99, 2, 2], 4),
            [vec![0], vec![1], vec![2, 3]]
        );
    }
}
