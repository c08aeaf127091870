//! Many texts into few forward passes.

/// Rows that go through the model together, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Which inputs these are, in the order of the rows.
    pub rows: Vec<usize>,
    /// The token ids of all rows, one row after the other.
    pub ids: Vec<u32>,
    /// Where each row begins in `ids`, and where the last one ends: one more than there are rows.
    pub offsets: Vec<usize>,
}

/// Packs inputs of similar length together, at most `budget` tokens to a batch; a longer input goes alone.
///
/// The shortest come first, and of equally long ones the earlier, so the same inputs always give the same batches.
pub fn pack(inputs: &[Vec<u32>], budget: usize) -> Vec<Packed> {
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_key(|row| inputs[*row].len());
    let mut batches: Vec<Packed> = Vec::new();
    for row in order {
        let input = &inputs[row];
        match batches.last_mut() {
            Some(batch) if batch.ids.len() + input.len() <= budget => batch.push(row, input),
            _ => {
                let mut batch = Packed {
                    rows: Vec::new(),
                    ids: Vec::new(),
                    offsets: vec![0],
                };
                batch.push(row, input);
                batches.push(batch);
            }
        }
    }
    batches
}

impl Packed {
    fn push(&mut self, row: usize, input: &[u32]) {
        self.rows.push(row);
        self.ids.extend_from_slice(input);
        self.offsets.push(self.ids.len());
    }
}
