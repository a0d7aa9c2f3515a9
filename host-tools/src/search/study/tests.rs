//! The same study in a file and on a server.

use super::*;
use crate::search::figures::Figures;

fn figures(loss: f64) -> Figures {
    Figures {
        loss,
        float_loss: 1.0,
        detection: 0.5,
        blob_bytes: 10,
        arena_bytes: 20,
        instructions: 30,
        epochs: 2,
    }
}

fn works(url: &str) {
    // A server may have seen this test before.
    let unique = format!("{:016x}", rand::random::<u64>());
    let [s, t, many] = ["s", "t", "many"].map(|name| format!("{name}-{unique}"));
    let mut study = Study::open(url, &s).unwrap();
    let settings = serde_json::json!({ "target": "cortex-m4", "seed": 1 });
    study.join(&settings).unwrap();
    study.join(&settings).unwrap();
    let other = study.join(&serde_json::json!({ "target": "cortex-m0", "seed": 1 })).unwrap_err();
    assert!(other.to_string().contains("`target` was \"cortex-m4\""), "{other}");
    assert!(!other.to_string().contains("seed"), "{other}");
    let two =
        study.join(&serde_json::json!({ "target": "cortex-m4", "windows": "0" })).unwrap_err();
    let said = "`seed` was 1, is null; `windows` was null, is \"0\"";
    assert!(two.to_string().ends_with(said), "{two}");

    let candidate: Candidate = "hidden=8 decoder=8 latent=2 bits=84".parse().unwrap();
    let first = study.within(|study| study.add(&candidate, None, "a")).unwrap();
    let second = study.within(|study| study.add(&candidate, Some(first), "b")).unwrap();
    assert_eq!((first, second), (0, 1));
    assert!(study.beat(first, "a").unwrap());
    assert!(!study.beat(first, "b").unwrap());
    assert!(study.finish(first, 0, "a", &figures(4.5), &[0, 1, 255]).unwrap());
    assert!(!study.finish(first, 0, "a", &figures(4.5), &[]).unwrap(), "it is no longer claimed");
    assert!(study.fail(second, "b", "it's \"gone\"").unwrap());

    // What was written is there for another connection; other names are other studies.
    let mut again = Study::open(url, &s).unwrap();
    let trials = again.trials().unwrap();
    assert_eq!(trials.len(), 2);
    assert_eq!(trials[0].figures, [figures(4.5)]);
    assert_eq!((trials[0].state, trials[1].state), (State::Done, State::Failed));
    assert_eq!((trials[1].parent, trials[1].note.as_str()), (Some(0), "it's \"gone\""));
    assert_eq!(again.weights(0, 0).unwrap(), Some(vec![0, 1, 255]));
    assert_eq!(again.weights(0, 1).unwrap(), None);
    assert!(Study::open(url, &t).unwrap().trials().unwrap().is_empty());

    // A failure inside leaves nothing behind.
    let failed: Result<(), StudyError> = again.within(|study| {
        study.add(&candidate, None, "c")?;
        Err(StudyError::NoPostgresql)
    });
    assert!(failed.is_err());
    assert_eq!(again.trials().unwrap().len(), 2);

    // Many at once: every trial has its own number.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut study = Study::open(url, &many).unwrap();
                for _ in 0..10 {
                    study.within(|study| study.add(&candidate, None, "w")).unwrap();
                }
            });
        }
    });
    let many = Study::open(url, &many).unwrap().trials().unwrap();
    assert_eq!(many.iter().map(|t| t.id).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
}

#[test]
fn in_a_file() {
    let folder = std::env::temp_dir().join(format!("picovae-study-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("study.db");
    works(file.to_str().unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(Study::open("/nonexistent/folder/study.db", "s").is_err());
}

/// `PICOVAE_POSTGRESQL=postgresql://…` names a database; without it this is skipped.
#[cfg(feature = "postgresql")]
#[test]
fn on_a_server() {
    match std::env::var("PICOVAE_POSTGRESQL") {
        Ok(url) => works(&url),
        Err(_) => eprintln!("SKIPPED: PICOVAE_POSTGRESQL names no server"),
    }
}

#[test]
fn passwords_are_not_shown() {
    let shown = without_password("postgresql://me:secret@host:5432/db");
    assert_eq!(shown, "postgresql://me@host:5432/db");
    #[cfg(feature = "postgresql")]
    {
        let error = Study::open("postgresql://me:secret@127.0.0.1:1/db", "s").err().unwrap();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
