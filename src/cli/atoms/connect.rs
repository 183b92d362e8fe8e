//! `atoms connect`: from an address and some agents to deliveries that arrive signed and verify.
//!
//! What it would cost other webhooks is found out and told before anything is changed, and refused without `--replace`.
//! Afterwards it reads back what came of it, and where the secret is configured already goes on to `check`. Run again, it changes nothing.

use std::io::Write;
use std::path::PathBuf;

use reqwest::Url;

use super::report::{Action, Report, Told};
use super::{Side, Then, name_of, secret};
use crate::atoms::AtomsError;
use crate::atoms::answers::{Agent, RemoteWebhook};
use crate::atoms::client::NewWebhook;
use crate::atoms::setup::{self, Cost, Plan, Subscriber};
use crate::cli::output::{Output, printable};
use crate::cli::{Ended, UsageError, send};
use crate::event::Stage;
use crate::receive::delivery::WebhookName;
use crate::sender::post::is_this_machine;

/// Arguments of `atoms connect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where Atoms reaches this bridge, such as https://bridge.example.com; without a path, /webhooks/NAME
    #[arg(long)]
    pub url: String,
    /// An agent whose events are to be delivered, by id or name; may be repeated
    #[arg(long = "agent", value_name = "AGENT", required = true)]
    pub agents: Vec<String>,
    /// The webhook's name here [default: the one in the URL's path, else default]
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Which events [default: all three]
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',', value_parser = stage)]
    pub events: Vec<Stage>,
    /// Its label at Atoms
    #[arg(long, value_name = "TEXT", default_value = "atoms-kafka-bridge")]
    pub description: String,
    /// Where the signing secret is kept [default: the file that is configured, else NAME.secret beside the journal]
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Print the signing secret too
    #[arg(long)]
    pub print_secret: bool,
    /// Take agents away from other webhooks where that cannot be helped
    #[arg(long)]
    pub replace: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A JSON object, for programs
    #[arg(long)]
    pub json: bool,
}

/// What is asked for, resolved.
struct Wanted {
    url: Url,
    name: WebhookName,
    stages: Vec<Stage>,
    secret_file: PathBuf,
}

pub(super) async fn run(
    output: &mut Output<impl Write>,
    side: &Side,
    args: &Args,
) -> anyhow::Result<(Ended, Then)> {
    let wanted = Wanted::of(side, args)?;
    let webhooks = side.client.webhooks().await?;
    let agents = resolve(&side.client.agents().await?, &args.agents)?;
    let before = subscribers(side, &agents).await?;
    let plan = setup::plan(&webhooks, &before, &wanted.url, &wanted.stages);
    let costs = costs(&plan);
    let meant = (&wanted.url, &wanted.name);
    let mut report = Report::new(meant, &agents, &wanted.stages, &costs);
    if !costs.is_empty() && !args.replace {
        report.write(output, args.json)?;
        return Ok((Ended::Finding, Then::End));
    }
    if args.dry_run {
        report.action = match &plan {
            Plan::Create => Action::WouldCreate,
            Plan::Subscribe { steps, .. } if steps.is_empty() => Action::Unchanged,
            Plan::Subscribe { .. } => Action::WouldSubscribe,
        };
        report.write(output, args.json)?;
        return Ok((Ended::Done, Then::End));
    }
    let id = carry_out(side, args, (&wanted, &agents), plan, &mut report).await?;
    read_back(side, (&id, &before), &costs, &wanted, &mut report).await?;
    fetch_secret(side, (&id, args), &wanted, &mut report).await?;
    report.write(output, args.json)?;
    let ended = if report.missing.is_empty() {
        Ended::Done
    } else {
        Ended::Finding
    };
    // Without the secret in the configuration it could not find anything else.
    let can_check = report.is_configured && !args.json;
    Ok((ended, if can_check { Then::Check } else { Then::End }))
}

impl Wanted {
    fn of(side: &Side, args: &Args) -> anyhow::Result<Self> {
        let given = args.webhook.as_deref().map(|name| {
            WebhookName::parse(name).ok_or_else(|| {
                let name = printable(name);
                UsageError(format!(
                    "--webhook {name}: a webhook's name is made of a-z, 0-9 and _"
                ))
            })
        });
        let name = match given.transpose()? {
            Some(name) => Some(name),
            None => name_of(&args.url).or_else(|| WebhookName::parse("default")),
        };
        let name = name.ok_or_else(|| UsageError("a webhook needs a name".to_owned()))?;
        let url = send::complete(&args.url, &name)?;
        if url.scheme() != "https" && !is_this_machine(&url) {
            return Err(UsageError(format!(
                "{}: Atoms delivers over HTTPS alone: give the https:// address of the proxy before the bridge",
                printable(&args.url)
            ))
            .into());
        }
        let secret_file = match &args.secret_file {
            Some(path) => std::path::absolute(path)?,
            None => secret::default_path(side, Some(&name))?,
        };
        let stages = match args.events.as_slice() {
            [] => Stage::ALL.to_vec(),
            some => some.to_vec(),
        };
        Ok(Self {
            url,
            name,
            stages,
            secret_file,
        })
    }
}

fn resolve(known: &[Agent], wanted: &[String]) -> Result<Vec<Agent>, UsageError> {
    let one = |wanted: &String| {
        let by_id = known.iter().find(|agent| agent.id == *wanted);
        let mut by_name = known.iter().filter(|agent| agent.name == *wanted);
        let by_name = || by_name.next().filter(|_| by_name.next().is_none());
        by_id.or_else(by_name).cloned().ok_or_else(|| {
            let wanted = printable(wanted);
            UsageError(format!(
                "--agent {wanted}: no such agent, or several; `atoms agents` lists their ids"
            ))
        })
    };
    let mut agents = wanted.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    agents.sort_by(|a, b| a.id.cmp(&b.id));
    agents.dedup();
    Ok(agents)
}

async fn subscribers(side: &Side, agents: &[Agent]) -> Result<Vec<Subscriber>, AtomsError> {
    let mut subscribers = Vec::new();
    for agent in agents {
        subscribers.push(Subscriber {
            agent: agent.clone(),
            subscriptions: side.client.subscriptions(&agent.id).await?,
        });
    }
    Ok(subscribers)
}

fn costs(plan: &Plan) -> Vec<Cost> {
    match plan {
        Plan::Create => Vec::new(),
        Plan::Subscribe { steps, .. } => {
            let costs = steps.iter().flat_map(|step| &step.costs);
            costs.cloned().collect()
        }
    }
}

/// Does what is planned and gives back the webhook's id.
async fn carry_out(
    side: &Side,
    args: &Args,
    (wanted, agents): (&Wanted, &[Agent]),
    plan: Plan,
    report: &mut Report,
) -> anyhow::Result<String> {
    let (webhook_id, steps) = match plan {
        Plan::Create => {
            // Told before there is a webhook whose secret has no place.
            secret::refuse_another(&wanted.secret_file)?;
            report.action = Action::Created;
            return create(side, args, wanted, agents, report).await;
        }
        Plan::Subscribe { webhook_id, steps } => (webhook_id, steps),
    };
    report.action = match steps.as_slice() {
        [] => Action::Unchanged,
        _ => Action::Subscribed,
    };
    for step in steps {
        side.client
            .replace_subscriptions(&step.agent.id, &webhook_id, &step.stages)
            .await?;
    }
    if side
        .config
        .webhooks
        .get(&wanted.name)
        .is_some_and(|webhook| webhook.header.is_some())
    {
        report.note = Some("this webhook was there: see in the dashboard that it has the static header that is configured here".to_owned());
    }
    Ok(webhook_id)
}

async fn create(
    side: &Side,
    args: &Args,
    wanted: &Wanted,
    agents: &[Agent],
    report: &mut Report,
) -> anyhow::Result<String> {
    let events = agents.iter().flat_map(|agent| {
        let stages = wanted.stages.iter();
        stages.map(|stage| (agent.id.clone(), *stage))
    });
    let new = NewWebhook {
        url: wanted.url.to_string(),
        description: args.description.clone(),
        events: events.collect(),
    };
    let id = match side.client.create_webhook(&new).await {
        Ok(id) => id,
        // It may have been made all the same.
        Err(error) if error.may_pass() => {
            let webhooks = side.client.webhooks().await?;
            let made = setup::at(&webhooks, &wanted.url);
            made.map(|made| made.id.clone()).ok_or(error)?
        }
        Err(error) => return Err(error.into()),
    };
    let header = side
        .config
        .webhooks
        .get(&wanted.name)
        .and_then(|webhook| webhook.header.as_ref());
    if let Some(header) = header {
        let value = String::from_utf8_lossy(header.value.expose()).into_owned();
        let headers = [(header.name.clone(), value)].into();
        side.client.set_headers(&id, &headers).await?;
        report.note = Some(format!(
            "Atoms sends the static header {} with it",
            header.name
        ));
    }
    Ok(id)
}

/// What is there now that should be, and what is gone that should not.
async fn read_back(
    side: &Side,
    (id, before): (&str, &[Subscriber]),
    expected: &[Cost],
    wanted: &Wanted,
    report: &mut Report,
) -> Result<(), AtomsError> {
    let agents: Vec<Agent> = before.iter().map(|before| before.agent.clone()).collect();
    let after = subscribers(side, &agents).await?;
    report.webhook_id = Some(id.to_owned());
    for subscriber in &after {
        let missing = setup::missing(subscriber, id, &wanted.stages).into_iter();
        report.missing.extend(missing.map(|stage| Told {
            agent_id: subscriber.agent.id.clone(),
            webhook_id: id.to_owned(),
            event: stage.name().to_owned(),
        }));
    }
    let lost = setup::lost(before, &after);
    let unexpected = lost.iter().filter(|cost| !expected.contains(cost));
    report.missing.extend(unexpected.map(Told::from));
    Ok(())
}

async fn fetch_secret(
    side: &Side,
    (id, args): (&str, &Args),
    wanted: &Wanted,
    report: &mut Report,
) -> anyhow::Result<()> {
    let webhook = side.client.webhook(id).await?;
    let webhook: RemoteWebhook =
        webhook.ok_or_else(|| anyhow::anyhow!("the webhook {id} is gone again"))?;
    report.is_configured = side.verifies(&webhook, &wanted.name);
    let secret = secret::of(&webhook)?;
    if args.print_secret {
        report.secret = Some(String::from_utf8_lossy(secret.expose()).into_owned());
    }
    // A secret that is configured has its place, unless a file is asked for.
    if !report.is_configured || args.secret_file.is_some() {
        secret::keep(&wanted.secret_file, secret)?;
        report.secret_file = Some(wanted.secret_file.clone());
    }
    Ok(())
}

fn stage(text: &str) -> Result<Stage, String> {
    Stage::parse(text).ok_or_else(|| {
        let names = Stage::ALL.map(Stage::name).join(", ");
        format!("write some of {names}")
    })
}
