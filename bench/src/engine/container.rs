//! A container that exists in memory, and what the API says of it.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// Where it is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was never started.
    Created,
    /// It runs.
    Running,
    /// Its process has ended.
    Exited,
}

/// What its health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It has no check.
    None,
    /// Nothing yet.
    Starting,
    /// It is well.
    Healthy,
    /// It is not.
    Unhealthy,
}

impl Health {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// As the status of the list says it.
    const fn mark(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Starting => " (health: starting)",
            Self::Healthy => " (healthy)",
            Self::Unhealthy => " (unhealthy)",
        }
    }
}

/// One container of a Compose project, with all the labels Compose gives it.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) service: String,
    pub(super) number: usize,
    /// Labels besides Compose's own.
    pub(super) labels: Vec<(String, String)>,
    /// Its network and its address there while it runs.
    pub(super) network: String,
    pub(super) address: Ipv4Addr,
    /// The port it exposes.
    pub(super) port: u16,
    pub(super) state: State,
    pub(super) health: Health,
    pub(super) started: SystemTime,
}

impl Container {
    /// A running, healthy container. `index` makes its id, which looks as arbitrary as a real one does, and its address.
    pub(crate) fn new(index: u32, project: &str, service: &str, number: usize) -> Self {
        Self {
            id: format!("{index:08x}{:056x}", u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            project: project.to_owned(),
            service: service.to_owned(),
            number,
            labels: Vec::new(),
            network: format!("{project}_default"),
            address: Ipv4Addr::from(0x0a00_0002 + index),
            port: 8080,
            state: State::Running,
            health: Health::Healthy,
            started: SystemTime::now() - Duration::from_secs(3_600),
        }
    }

    /// The same with one label more.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The same, reached there.
    pub(crate) fn at(mut self, address: Ipv4Addr, port: u16) -> Self {
        (self.address, self.port) = (address, port);
        self
    }

    /// The same without a health check.
    pub(crate) fn unchecked(mut self) -> Self {
        self.health = Health::None;
        self
    }

    pub(super) fn name(&self) -> String {
        format!("{}-{}-{}", self.project, self.service, self.number)
    }

    fn labels(&self) -> Value {
        let mut labels = json!({
            "com.docker.compose.config-hash": format!("{:064x}", self.number),
            "com.docker.compose.container-number": self.number.to_string(),
            "com.docker.compose.depends_on": "backend:service_healthy:false",
            "com.docker.compose.image": format!("sha256:{:064x}", 7),
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.project": self.project,
            "com.docker.compose.project.config_files": format!("/srv/{}/compose.yml", self.project),
            "com.docker.compose.project.working_dir": format!("/srv/{}", self.project),
            "com.docker.compose.service": self.service,
            "com.docker.compose.version": "2.26.1",
        });
        for (key, value) in &self.labels {
            labels[key] = json!(value);
        }
        labels
    }

    fn endpoint(&self) -> Value {
        let (address, prefix) = match self.state {
            State::Running => (self.address.to_string(), 16),
            State::Created | State::Exited => (String::new(), 0),
        };
        json!({
            "IPAMConfig": null, "Links": null, "Aliases": [self.name(), self.service],
            "NetworkID": format!("{:064x}", 1), "EndpointID": format!("{:064x}", 2), "Gateway": "10.0.0.1",
            "IPAddress": address, "IPPrefixLen": prefix, "IPv6Gateway": "", "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0, "MacAddress": "02:42:0a:00:00:02", "DriverOpts": null,
        })
    }

    fn word(&self) -> &'static str {
        match self.state {
            State::Created => "created",
            State::Running => "running",
            State::Exited => "exited",
        }
    }

    /// As it stands in the list.
    pub(super) fn summary(&self, has_health: bool) -> Value {
        let status = match self.state {
            State::Created => "Created".to_owned(),
            State::Running => format!("Up About an hour{}", self.health.mark()),
            State::Exited => "Exited (0) 1 second ago".to_owned(),
        };
        let mut summary = json!({
            "Id": self.id, "Names": [format!("/{}", self.name())], "Image": "portolan-frontend",
            "ImageID": format!("sha256:{:064x}", 7), "Command": "/usr/local/bin/frontend", "Created": 1_764_000_000,
            "Ports": [{"PrivatePort": self.port, "Type": "tcp"}], "Labels": self.labels(), "State": self.word(),
            "Status": status, "HostConfig": {"NetworkMode": self.network},
            "NetworkSettings": {"Networks": {&self.network: self.endpoint()}}, "Mounts": [],
        });
        // API 1.52 and later.
        if has_health {
            summary["Health"] = json!({"Status": self.health.word(), "FailingStreak": 0});
        }
        summary
    }

    /// As an inspect shows it.
    pub(super) fn inspect(&self) -> Value {
        let started = humantime::format_rfc3339_nanos(self.started).to_string();
        let running = self.state == State::Running;
        let probe = json!({"Start": started, "End": started, "ExitCode": 0, "Output": "well\n"});
        let mut inspect = json!({
            "Id": self.id, "Created": "2025-11-24T16:00:00.123456789Z", "Path": "/usr/local/bin/frontend", "Args": [],
            "State": {
                "Status": self.word(), "Running": running, "Paused": false, "Restarting": false, "OOMKilled": false,
                "Dead": false, "Pid": 4242, "ExitCode": 0, "Error": "", "StartedAt": started,
                "FinishedAt": "0001-01-01T00:00:00Z",
                "Health": {"Status": self.health.word(), "FailingStreak": 0, "Log": [probe, probe, probe, probe, probe]},
            },
            "Image": format!("sha256:{:064x}", 7), "ResolvConfPath": "/x", "HostnamePath": "/x", "HostsPath": "/x",
            "LogPath": "/x", "Name": format!("/{}", self.name()), "RestartCount": 0, "Driver": "overlay2",
            "Platform": "linux", "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "docker-default",
            "ExecIDs": null,
            "HostConfig": {
                "Binds": [], "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
                "NetworkMode": self.network, "PortBindings": {}, "AutoRemove": false,
                "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}, "VolumesFrom": null,
                "CapAdd": null, "CapDrop": ["ALL"], "IpcMode": "private", "Privileged": false, "ReadonlyRootfs": true,
                "SecurityOpt": ["no-new-privileges:true"], "Memory": 134_217_728, "PidsLimit": 128,
            },
            "GraphDriver": {"Name": "overlay2", "Data": {"LowerDir": "/x", "MergedDir": "/x", "UpperDir": "/x", "WorkDir": "/x"}},
            "Mounts": [],
            "Config": {
                "Hostname": &self.id[..12], "Domainname": "", "User": "65532", "AttachStdin": false,
                "ExposedPorts": {format!("{}/tcp", self.port): {}}, "Tty": false, "Env": ["PATH=/bin", "BACKEND_URL=http://backend:8080"],
                "Cmd": null, "Healthcheck": {"Test": ["CMD", "/usr/local/bin/frontend", "health"]},
                "Image": "portolan-frontend", "Volumes": null, "WorkingDir": "/", "Entrypoint": ["/usr/local/bin/frontend"],
                "Labels": self.labels(), "StopTimeout": 15,
            },
            "NetworkSettings": {
                "SandboxID": "", "Ports": {}, "SandboxKey": "", "Networks": {&self.network: self.endpoint()},
            },
        });
        if self.health == Health::None {
            inspect["State"]["Health"] = Value::Null;
        }
        inspect
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_container_has_an_id_and_an_address_of_its_own() {
        let all: Vec<Container> =
            [0, 1, 2, 3, 4_095, 65_535].map(|index| Container::new(index, "shop", "web", 1)).into();
        assert!(all.iter().all(|one| one.id.len() == 64), "as long as Docker's");
        assert_eq!(all.iter().map(|one| &one.id).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|one| one.address).collect::<BTreeSet<_>>().len(), all.len());
    }
}
