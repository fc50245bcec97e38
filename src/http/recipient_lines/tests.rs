use serde_json::json;

use super::*;

/// The same whatever the pieces are in which it comes.
fn read(form: Form, needed: &[&str], text: &str) -> Vec<String> {
    let in_pieces = |size: usize| {
        let needed = needed.iter().map(|name| (*name).to_owned()).collect();
        let mut lines = Lines::new(form, needed);
        let mut found = Vec::new();
        let mut tell = |(number, line): Line| found.push(format!("{number}: {}", show(line)));
        let mut ended = Ok(());
        for piece in text.as_bytes().chunks(size) {
            ended = ended.and_then(|()| lines.read(piece, &mut tell));
        }
        let ended = ended.and_then(|()| lines.finish(&mut tell));
        if let Err(errors) = ended {
            found.push(format!("ends: {}", show(Err(errors))));
        }
        found
    };
    let whole = in_pieces(text.len().max(1));
    assert_eq!(in_pieces(1), whole);
    assert_eq!(in_pieces(7), whole);
    whole
}

fn show(line: Result<NewRecipient, Vec<FieldError>>) -> String {
    match line {
        Ok(recipient) => json!([
            recipient.recipient,
            recipient.reference,
            recipient.variables
        ])
        .to_string(),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{} {}", error.field, error.message))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

#[test]
fn json_is_read_line_by_line_and_each_problem_has_its_number() {
    let text = "{\"to\":\"+447700900001\",\"variables\":{\"name\":\"Ana\",\"n\":7}}\r\n\
                \n\
                {\"to\":\"447700900002\"}\n\
                no json\n\
                {\"to\":\"!\",\"variables\":{\"name\":\" \",\"x y\":[]},\"reference\":\"\"}\n\
                {\"to\":\"447700900003\",\"variables\":{\"name\":\"B\"},\"referenz\":1}\n\
                {\"to\":\"447700900004\",\"variables\":{\"name\":\"a\\u0000\"}}\n\
                {\"to\":\"447700900005\",\"reference\":\"r\",\"variables\":{\"name\":\"C\"}}";
    let found = read(Form::Json, &["name"], text);
    assert_eq!(
        found[0],
        r#"1: ["447700900001",null,{"n":"7","name":"Ana"}]"#
    );
    assert_eq!(found[1], "3: variables.name missing: the messages use it");
    assert!(
        found[2].starts_with("4:  expected an object such as `{\"to\""),
        "{}",
        found[2]
    );
    assert!(found[2].contains("from column 2 on"), "{}", found[2]);
    assert!(
        found[3].starts_with(
            "5: variables.x y expected a text or a number; to expected a phone number"
        ),
        "{}",
        found[3]
    );
    assert!(
        found[3].ends_with(
            "reference expected 1 to 256 bytes; variables.name missing: the messages use it"
        ),
        "{}",
        found[3]
    );
    assert!(found[4].starts_with("6: referenz"), "{}", found[4]);
    assert_eq!(
        found[5],
        "7: variables.name the character U+0000 cannot be kept"
    );
    assert_eq!(found[6], r#"8: ["447700900005","r",{"name":"C"}]"#);
    assert_eq!(found.len(), 7);
}

#[test]
fn csv_is_read_with_quotes_and_lines_within_them() {
    let text = "\u{feff}reference,to,name\r\n\
                a,447700900001,\"Ana \"\"A\"\", the\nfirst\"\r\n\
                ,447700900002,Bo\n\
                b,447700900003\n\
                c,447700900004,\n\
                d,447700900005,a\"b\"\n\
                \"e\"x,447700900006,n\n\
                f,447700900007,\"open\n";
    let found = read(Form::Csv, &["name"], text);
    assert_eq!(
        found,
        [
            r#"2: ["447700900001","a",{"name":"Ana \"A\", the\nfirst"}]"#,
            r#"4: ["447700900002",null,{"name":"Bo"}]"#,
            "5:  expected 3 cells, as the first line names (`reference`, `to`, `name`), not 2",
            "6: variables.name missing: the messages use it",
            "7:  a quote stands within a cell that does not begin with one",
            "8:  expected a comma behind the closing quote",
            "ends: lines[9] a quote is not closed",
        ]
    );
    for (text, said) in [
        ("", "ends: lines[1] expected a line that names the columns"),
        (
            "to\n447700900001\n",
            "ends: lines[1] the column `name` is missing",
        ),
        ("name\nx\n", "ends: lines[1] the column `to` is missing"),
        (
            "to;name\n447700900001;Ana\n",
            "ends: lines[1] expected columns with commas between them, not semicolons",
        ),
        (
            "to\tname\n",
            "ends: lines[1] expected columns with commas between them, not tabs",
        ),
        (
            "to,name,first name\n",
            "ends: lines[1] the column `first name`: expected a name of 1 to 64 bytes: letters, \
             digits, `_`, `-`, `.`",
        ),
        ("to,name,to\n", "ends: lines[1] the column `to` comes twice"),
    ] {
        assert_eq!(read(Form::Csv, &["name"], text), [said]);
    }
}

#[test]
fn a_line_without_end_is_not_held() {
    let mut lines = Lines::new(Form::Json, Vec::new());
    let mut found = Vec::new();
    for _ in 0..100 {
        lines
            .read(&[b'x'; 10_000], &mut |line| found.push(line))
            .unwrap();
        assert!(lines.record.capacity() <= 2 * LONGEST_LINE);
    }
    lines
        .read(b"\n{\"to\":\"447700900001\"}\n", &mut |line| {
            found.push(line)
        })
        .unwrap();
    assert_eq!(
        found[0].1.as_ref().unwrap_err()[0].message,
        "longer than 64 KiB"
    );
    assert_eq!(found[1].0, 2);
    assert!(found[1].1.is_ok());
}
