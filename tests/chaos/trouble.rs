//! Brings about what goes wrong, each thing when its part of the run is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ground::Ground;
use crate::instances::Instances;
use crate::plan::{Kind, Plan, Trouble};
use crate::progress::{Progress, moment};

/// What a transaction says whose commit is lost: a claim, an answer, a decision.
const COMMITS: [&str; 3] = ["message.released", "message.accepted", "sequence.advanced"];
/// What a commit says that is a single statement: webhooks.
const WEBHOOKS: &str = "wamid.stranger";

/// How often each kind of trouble came.
pub type Troubles = BTreeMap<Kind, usize>;

/// Until all of it has come, or everything is over.
pub async fn make(
    ground: &Ground,
    instances: &Arc<Instances>,
    plan: &Plan,
    progress: &Progress,
) -> Troubles {
    let mut made = Troubles::new();
    for trouble in &plan.troubles {
        while progress.part(plan.messages, plan.webhooks) < trouble.at {
            if Progress::is(&progress.over) {
                return made;
            }
            moment(5).await;
        }
        let part = progress.part(plan.messages, plan.webhooks);
        eprintln!("at {part:.3}: {:?}", trouble.kind);
        one(ground, instances, trouble, plan).await;
        *made.entry(trouble.kind).or_default() += 1;
    }
    made
}

async fn one(ground: &Ground, instances: &Instances, trouble: &Trouble, plan: &Plan) {
    let proxy = &ground.proxy;
    match trouble.kind {
        Kind::KillInstance => instances.kill(trouble.which),
        Kind::Freeze => instances.freeze(trouble.which, plan.freeze_ms()),
        Kind::KillPostgres => ground.kill_postgres(trouble.ms).await,
        Kind::Cut => proxy.cut_one(trouble.which),
        Kind::CutAll => proxy.cut_all(),
        Kind::Stall => {
            proxy.stall();
            moment(trouble.ms).await;
            proxy.open();
        }
        Kind::Silence => proxy.silence(),
        Kind::LoseCommit => match COMMITS.get(trouble.which % (COMMITS.len() + 1)) {
            Some(needle) => proxy.lose_commits(needle, 1),
            None => proxy.lose_answers(WEBHOOKS, 1),
        },
    }
}
