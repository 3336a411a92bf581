// SPDX-License-Identifier: MIT OR Apache-2.0

//! The manual pages and shell completions in `imagegen/share`, generated from the definitions of
//! the command lines. The test fails if a file is not current; run with `WRITE_SHARE=1`, it writes
//! the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use clap_complete::aot::{Shell, generate};
use clap_mangen::Man;
use fwup::command::{HelpEntry, help_entries};

/// The contents of the generated files by path within `share`.
type Files = BTreeMap<String, Vec<u8>>;

fn add_completions(files: &mut Files, command: &Command) {
    let name = command.get_name().to_owned();
    for (shell, file) in [
        (Shell::Bash, name.clone()),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let mut script = Vec::new();
        generate(shell, &mut command.clone(), &name, &mut script);
        files.insert(format!("completions/{shell}/{file}"), script);
    }
}

fn add_manual(files: &mut Files, command: Command) {
    for subcommand in command.get_subcommands().cloned().collect::<Vec<_>>() {
        if subcommand.get_name() != "help" {
            let name = format!("{}-{}", command.get_name(), subcommand.get_name());
            // A name must outlive the program in clap. This is a test.
            let name: &'static str = name.leak();
            add_manual(files, subcommand.name(name).display_name(name));
        }
    }
    let path = format!("man/{}.1", command.get_name());
    // Without a date, so that the pages change only with the command line.
    let mut page = Vec::new();
    Man::new(command).date("").render(&mut page).unwrap();
    files.insert(path, page);
}

/// The command line of fwup as a definition of clap, which does not parse it.
fn fwup_command() -> Command {
    let options = help_entries().map(|entry: &HelpEntry| {
        let short = entry.short.map(String::from);
        // An identifier must outlive the program in clap. This is a test.
        let id = entry.long.or(short.map(|short| &*short.leak()));
        let mut arg = Arg::new(id.unwrap())
            .help(entry.help)
            .action(ArgAction::SetTrue);
        if let Some(short) = entry.short {
            arg = arg.short(short);
        }
        if let Some(long) = entry.long {
            arg = arg.long(long);
        }
        if let Some(value) = entry.value {
            arg = arg.value_name(value).action(ArgAction::Set);
            if value == "FILE" {
                arg = arg.value_hint(clap::ValueHint::FilePath);
            }
        }
        arg
    });
    Command::new("fwup")
        .about("Makes and applies firmware archives")
        .disable_help_flag(true)
        .args(options)
        .arg(
            Arg::new("archive")
                .help("An archive whose task complete is applied")
                .value_hint(clap::ValueHint::FilePath),
        )
}

#[test]
fn manual_pages_and_completions_are_current() {
    let mut files = Files::new();
    let mut imagegen = crate::Arguments::command();
    imagegen.build();
    for command in [imagegen, fwup_command()] {
        add_completions(&mut files, &command);
        add_manual(&mut files, command);
    }
    let share = Path::new(env!("CARGO_MANIFEST_DIR")).join("share");
    for (name, expected) in &files {
        let path = share.join(name);
        if std::env::var_os("WRITE_SHARE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, expected).unwrap();
        }
        assert!(
            fs::read(&path).ok().as_ref() == Some(expected),
            "share/{name} is not current: run WRITE_SHARE=1 cargo test -p imagegen manual_pages"
        );
    }
    let mut folders = vec![share.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&share).unwrap().to_str().unwrap();
            match path.is_dir() {
                true => folders.push(path),
                false => assert!(files.contains_key(name), "share/{name} is not generated"),
            }
        }
    }
}
