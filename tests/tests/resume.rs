//! Commands that train, killed and run again with their checkpoint: the same files, byte by byte.

use std::process::{Command, Stdio};
use std::time::Duration;

use picovae_tests::cli::{Workshop, picovae, stderr};

/// Runs a command and kills it once it has left a checkpoint, or gone further than the one there.
fn killed(shop: &Workshop, arguments: &[&str]) {
    let file = shop.path("state.check");
    let before = std::fs::read(&file).ok();
    let mut child = Command::new(picovae())
        .current_dir(shop.path(""))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() && std::fs::read(&file).ok() == before {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn every_verb_that_trains_goes_on_where_it_was_killed() {
    let (whole, pieces) = (Workshop::new(), Workshop::new());
    let commands = [
        "train normal.npy --likelihood gaussian --remove-mean --hidden 24 --latent 4 --epochs 12 \
         --seed 3 --starts 2 -o trained.safetensors",
        "finetune machine.safetensors normal.npy --qat --weight-bits 4 --epochs 6 -o tuned.safetensors",
        "distill machine.safetensors normal.npy --hidden 12 --epochs 6 -o student.safetensors",
        "prune machine.safetensors normal.npy --keep 0.6 --rounds 3 --epochs 2 -o pruned.safetensors",
        "compress machine.safetensors --calibrate normal.npy --flash 16K --max-loss 0 \
         --float small.safetensors -o small.pvae",
    ];
    for command in commands {
        let arguments = format!("{command} --checkpoint state.check");
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let once = whole.run(&arguments);
        killed(&pieces, &arguments);
        killed(&pieces, &arguments);
        let again = pieces.run(&arguments);
        // `compress` ends with 1: nothing keeps a loss of 0.
        assert!(matches!(once.status.code(), Some(0 | 1)), "{command}: {}", stderr(&once));
        assert_eq!(once.status, again.status, "{command}: {}", stderr(&again));
        assert!(!pieces.path("state.check").exists(), "{command}: the checkpoint is left");
        let is_model = |name: &&&str| name.ends_with(".safetensors") || name.ends_with(".pvae");
        for out in arguments.iter().filter(is_model) {
            let [a, b] = [&whole, &pieces].map(|shop| std::fs::read(shop.path(out)).unwrap());
            assert!(a == b, "{command}: {out} differs");
        }
    }
}

#[test]
fn a_checkpoint_of_other_settings_is_refused() {
    let shop = Workshop::new();
    let arguments = "train normal.npy --likelihood gaussian --hidden 24 --latent 4 --epochs 200 \
         -o long.safetensors --checkpoint state.check";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    killed(&shop, &arguments);
    let other = [&arguments[..], &["--lr", "0.01"]].concat();
    shop.refused(&other, &["state.check", "another `learning_rate`", "0.001", "0.01"]);
    let tune = "finetune machine.safetensors normal.npy -o t.safetensors --checkpoint state.check";
    let tune: Vec<&str> = tune.split_whitespace().collect();
    shop.refused(&tune, &["another `command`: it was train, now it is finetune"]);
}

#[test]
fn what_cannot_end_well_does_not_begin() {
    let shop = Workshop::new();
    let before = std::fs::read(shop.path("machine.safetensors")).unwrap();
    for (command, said) in [
        (
            "prune machine.safetensors normal.npy --keep 0.6 -o a.st --checkpoint ./a.st",
            "both -o and --checkpoint",
        ),
        ("finetune machine.safetensors normal.npy -o normal.npy", "both an input and -o"),
        ("distill machine.safetensors normal.npy --hidden 8 -o no/a.st", "there is no folder no"),
        ("train normal.npy --checkpoint no/state -o a.st", "there is no folder no"),
        ("finetune machine.pvae normal.npy -o a.st", "is a blob"),
    ] {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        shop.refused(&arguments, &[said]);
        assert!(!shop.path("a.st").exists(), "{command}");
    }
    assert!(std::fs::read(shop.path("machine.safetensors")).unwrap() == before);
}
