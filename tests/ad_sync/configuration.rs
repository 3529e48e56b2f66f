//! What is refused, and that no message tells a secret.

use std::fs;
use std::path::Path;

use crate::arguments::{Arguments, Often};
use crate::config::Config;
use crate::{files, secret};

const WHOLE: &str = include_str!("../../examples/data/ad_sync.toml");

fn refusal(text: &str) -> String {
    match Config::parse(text, Path::new("")) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error,
    }
}

fn words(text: &str) -> Result<Arguments, String> {
    Arguments::read(text.split_whitespace().map(str::to_owned).collect()).map_err(|error| error.to_string())
}

#[test]
fn the_example_configuration_is_one() {
    let config = Config::parse(WHOLE, Path::new("here")).unwrap();
    assert_eq!(config.assignments.groups, ["dept-engineering", "dept-sales"]);
    assert_eq!(config.watch.unwrap().seconds(), 30);
    assert_eq!(config.options.issuer.unwrap().as_str(), "corp.example.com");
    assert_eq!(config.options.guards.user_deletes.unwrap().percent, 10);
}

#[test]
fn a_word_that_is_not_known_is_refused_and_its_value_not_shown() {
    // rule S2: whoever writes the password there reads its name again, and not the password
    for (place, line) in [("[source]", "password = \"Tr0ub4dor\""), ("[store.sqlite]", "key = \"Tr0ub4dor\"")]
    {
        let error = refusal(&WHOLE.replace(place, &format!("{place}\n{line}")));
        assert!(error.contains("unknown field") && !error.contains("Tr0ub4dor"), "{error}");
    }
    assert!(refusal(&WHOLE.replace("watch =", "wach =")).contains("wach"));
}

#[test]
fn assignments_come_in_exactly_one_way() {
    let groups = "groups = [\"dept-engineering\", \"dept-sales\"]";
    for ways in ["", "store = true\nfile = \"f\"", "groups = [\"a\"]\nstore = true", "users = []"] {
        assert!(refusal(&WHOLE.replace(groups, ways)).contains("exactly one"), "{ways}");
    }
    for way in ["store = true", "file = \"f\"", "users = [\"a\"]\ngroups = [\"b\"]"] {
        Config::parse(&WHOLE.replace(groups, way), Path::new("")).unwrap();
    }
}

#[test]
fn an_address_holds_no_account() {
    let error = refusal(&WHOLE.replace("ldaps://dc1", "ldaps://svc:Tr0ub4dor@dc1"));
    assert!(error.contains("holds no account") && !error.contains("Tr0ub4dor"), "{error}");
}

#[cfg(feature = "scim")]
#[test]
fn a_store_that_keeps_no_state_needs_a_file_for_it() {
    let scim = WHOLE.replace(
        "[store.sqlite]\nfile = \"identities.db\"",
        "[store.scim]\nurl = \"https://app.example.com\"",
    );
    assert!(refusal(&scim).contains("run.file"));
    Config::parse(&scim.replace("[run]", "[run]\nfile = \"state.json\""), Path::new("")).unwrap();
}

#[test]
fn a_secret_is_one_line_of_a_file_and_no_message_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let read = |text: &[u8]| {
        fs::write(folder.path().join("p"), text).unwrap();
        secret::read("x", folder.path(), Some(Path::new("p")), None).map_err(|error| error.to_string())
    };
    for text in ["pass wörd", "pass wörd\n", "pass wörd\r\n"] {
        assert_eq!(read(text.as_bytes()).unwrap(), "pass wörd");
    }
    for text in [&b""[..], b"\n", b"Tr0ub4dor\nsecond", b"Tr0ub4dor\0", b"Tr0ub4dor\xff", &[b'a'; 70_000]] {
        let error = read(text).unwrap_err();
        assert!(!error.contains("Tr0ub4dor") && error.len() < 200, "{error}");
    }
    // The secret itself in the place of its name.
    for (file, variable) in
        [(Some("Tr0ub4dor"), None), (None, Some("Tr0ub4dor")), (Some("Tr0ub4dor"), Some("Tr0ub4dor"))]
    {
        let error = secret::read("x", folder.path(), file.map(Path::new), variable).unwrap_err().to_string();
        assert!(!error.contains("Tr0ub4dor"), "{error}");
    }
}

#[test]
fn arguments_that_would_be_overlooked_are_refused() {
    for text in [
        "--and-rest",
        "--apply --and-rest",
        "--keep --apply",
        "--every 2h --approve f",
        "--every 2h --once",
        "--every 0s",
        "--every soon",
        "--format pdf",
        "--out",
        "--what",
        "--forever --accept-source",
        "--rebuild-ledger",
        "--apply --every 2h --rebuild-ledger",
        "--every 2h --format html",
    ] {
        words(text).unwrap_err();
    }
    let read = words("--apply --every 2h --format html --out p.html --held-out h.json").unwrap();
    assert!(read.apply && matches!(read.often, Often::Every(period) if period.seconds() == 7200));
    assert_eq!(words("").unwrap().often, Often::Once);
}

#[test]
fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    files::replace(&file, "one").unwrap();
    files::replace(&file, "two").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "two");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
        // A link stays one.
        std::os::unix::fs::symlink(&file, folder.path().join("link")).unwrap();
        files::replace(&folder.path().join("link"), "three").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "three");
        assert!(fs::symlink_metadata(folder.path().join("link")).unwrap().is_symlink());
    }
    files::replace(&folder.path().join("no/such/folder"), "x").unwrap_err();
    #[cfg(unix)]
    {
        // rule S2: whoever may write to the folder guessed under which name it would be written first
        let (trap, theirs) = (folder.path().join("plan"), folder.path().join("theirs"));
        fs::write(&theirs, "as it was").unwrap();
        let guessed = folder.path().join(format!("plan.{}.new", std::process::id()));
        std::os::unix::fs::symlink(&theirs, &guessed).unwrap();
        files::replace(&trap, "secret").unwrap();
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "as it was");
        assert!(fs::symlink_metadata(&trap).unwrap().is_file());
    }
}
