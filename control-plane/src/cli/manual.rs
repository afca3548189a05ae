//! `portolan completions` and `portolan man`: what a package of the program installs beside it.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::terminal::print;

/// Print what a shell needs to complete the command line.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 where it is printed, 2 where the command is wrong.\n\n    \
                  portolan completions bash > ~/.local/share/bash-completion/completions/portolan\n    \
                  portolan completions zsh > \"${fpath[1]}/_portolan\"\n    \
                  portolan completions fish > ~/.config/fish/completions/portolan.fish")]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "portolan", &mut script);
        print(std::io::stdout(), &script)
    }
}

/// Print the manual page, or write those of all commands into a folder.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it is done, 1 where the folder cannot be written, 2 where the command is wrong.\n\n    \
                  portolan man | man -l -\n    portolan man --dir /usr/local/share/man/man1"
)]
pub(super) struct Man {
    /// Write portolan.1 and a page for each command, such as portolan-lint.1, into this folder.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let command = Cli::command();
        match &self.dir {
            Some(dir) => {
                std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
                clap_mangen::generate_to(command, dir)
                    .with_context(|| format!("cannot write manual pages into {}", dir.display()))
            }
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(command).render(&mut page)?;
                print(std::io::stdout(), &page)
            }
        }
    }
}
