//! A PostgreSQL server of the suite's own, for the tests of studies on one: in a temporary folder, on a
//! free port of this machine, gone when dropped. Where no server is installed, those tests say that they are skipped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A running server.
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    /// Where it is reached.
    pub url: String,
}

/// Starts one; `None`, said out loud, where that cannot be done here.
pub fn start() -> Option<Server> {
    let Some(programs) = programs() else {
        println!("no PostgreSQL server is installed: studies are tested in files only");
        return None;
    };
    match serve(programs) {
        Ok(server) => Some(server),
        Err(error) => {
            println!("PostgreSQL does not start ({error:#}): studies are tested in files only");
            None
        }
    }
}

/// The folder of the newest server's programs, as Debian and its kin have them.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.flatten().map(|entry| entry.path()).max_by_key(version)?;
    let programs = newest.join("bin");
    programs.join("initdb").exists().then_some(programs)
}

fn serve(programs: PathBuf) -> Result<Server> {
    // Not below the repository, which the server's own user may not reach.
    let folder = std::env::temp_dir().join(format!("picovae-postgresql-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    // The server refuses to run as root.
    if is_root()? {
        run(Command::new("chown").arg("postgres").arg(&folder))?;
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let server = Server {
        url: format!("postgresql://postgres@127.0.0.1:{port}/postgres"),
        programs,
        folder,
    };
    let data = server.data();
    run(server
        .command("initdb")?
        .args(["--auth", "trust", "--username", "postgres", "-D"])
        .arg(&data))?;
    let options = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {}",
        server.folder.display()
    );
    let log = server.folder.join("log");
    run(server
        .command("pg_ctl")?
        .args(["start", "-w", "-o", &options, "-l"])
        .arg(log)
        .arg("-D")
        .arg(&data))?;
    Ok(server)
}

fn is_root() -> Result<bool> {
    Ok(crate::shell::output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Runs a program, silent but for its errors.
fn run(command: &mut Command) -> Result<()> {
    // A daemon would keep a pipe open: nothing is captured.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("running {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}

impl Server {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of the server, by a user it accepts.
    fn command(&self, program: &str) -> Result<Command> {
        let path: &Path = &self.programs.join(program);
        if !is_root()? {
            return Ok(Command::new(path));
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path).current_dir("/");
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(mut stop) = self.command("pg_ctl") {
            // What does not stop ends with the machine.
            let _ = run(stop.args(["stop", "-m", "immediate", "-D"]).arg(self.data()));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_and_goes() {
        let Some(server) = start() else { return };
        let ready = || run(server.command("pg_isready").unwrap().args(["-d", &server.url]));
        ready().unwrap();
        let (folder, programs) = (server.folder.clone(), server.programs.clone());
        let url = server.url.clone();
        drop(server);
        assert!(!folder.exists());
        assert!(run(Command::new(programs.join("pg_isready")).args(["-d", &url])).is_err());
    }
}
