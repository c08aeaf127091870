use std::fs;
use std::path::Path;

use crate::digest::Digest;
use crate::document::Decimal;
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoint, EvaluationState, Position, Shape, State};
use crate::train::streams::Streams;

fn shapes() -> Vec<Shape> {
    vec![
        ("base_model.model.b.weight".to_owned(), vec![2, 2]),
        ("base_model.model.a.bias".to_owned(), vec![1]),
    ]
}

fn checkpoint(step: u64) -> Checkpoint {
    let values = |start: f32| vec![vec![start, 1.5, -0.0, f32::MIN_POSITIVE / 2.0], vec![3.0]];
    Checkpoint {
        state: State {
            run: Digest::of(b"run").into(),
            streams: Streams::of(1),
            steps: 9,
            position: Position {
                step,
                ..Position::default()
            },
            metrics_length: 17,
            evaluation: EvaluationState::default(),
            last_loss: Some(Decimal::new(0.1).unwrap()),
            high_losses: 0,
            training_seconds: Decimal::default(),
            evaluating_seconds: Decimal::default(),
        },
        weights: values(0.1),
        first: values(0.2),
        second: values(0.3),
        best: (step > 1).then(|| values(0.4)),
    }
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_newest_is_read_back_bit_for_bit_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("checkpoints");
    assert_eq!(Checkpoint::newest(&root, &shapes()).unwrap(), None);
    for step in [1, 2, 10] {
        checkpoint(step).write(&root, &shapes(), 2).unwrap();
    }
    assert_eq!(names(&root), ["00000002", "00000010"]);
    let read = Checkpoint::newest(&root, &shapes()).unwrap().unwrap();
    assert_eq!(read, checkpoint(10));
    assert_eq!(read.weights[0][2].to_bits(), (-0.0f32).to_bits());
}

#[test]
fn any_change_is_noticed() {
    for file in [
        "state.json",
        "weights.safetensors",
        "first_moment.safetensors",
        "second_moment.safetensors",
        "best.safetensors",
        "SHA256SUMS",
    ] {
        let dir = tempfile::tempdir().unwrap();
        checkpoint(3).write(dir.path(), &shapes(), 2).unwrap();
        let path = dir.path().join("00000003").join(file);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 4;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = Checkpoint::newest(dir.path(), &shapes()).unwrap_err();
        assert!(error.is_integrity(), "{file}: {error}");
        fs::remove_file(&path).unwrap();
        assert!(Checkpoint::newest(dir.path(), &shapes()).is_err(), "{file}");
    }
}

#[test]
fn another_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    checkpoint(3).write(dir.path(), &shapes(), 2).unwrap();
    let mut more = shapes();
    more.push(("base_model.model.c".to_owned(), vec![1]));
    for other in [&shapes()[..1], &more] {
        let error = Checkpoint::newest(dir.path(), other).unwrap_err();
        assert!(matches!(error, TrainError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_half_removed_checkpoint_is_none() {
    let dir = tempfile::tempdir().unwrap();
    checkpoint(3).write(dir.path(), &shapes(), 2).unwrap();
    fs::rename(dir.path().join("00000003"), dir.path().join(".tmp-3")).unwrap();
    assert_eq!(Checkpoint::newest(dir.path(), &shapes()).unwrap(), None);
}
