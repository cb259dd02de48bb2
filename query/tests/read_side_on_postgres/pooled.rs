//! The read models behind a proxy that pools transactions.

use event_store::{PostgresOptions, Route};
use query::read_db::{ReadDb, ReadPlace, sql};

use crate::server::{Database, Pooler};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_written_and_read_over_any_session() {
    let database = Database::create().await;
    let pooler = Pooler::start(&database).await;
    let options = PostgresOptions::parse(pooler.address(), Route::Pooler).expect("an address");
    let db = ReadDb::open(&ReadPlace::Postgres(Box::new(options))).await.expect("opens");
    let writing = (0..40_i64).map(|number| {
        let db = db.clone();
        async move {
            let mut transaction = db.write().await?;
            let add = sql("INSERT INTO egress (workspace_id, period_start, bytes) VALUES ($1, $2, 1)");
            transaction.execute(add.bind("ws").bind(number)).await?;
            transaction.commit().await?;
            let find = sql("SELECT bytes FROM egress WHERE workspace_id = $1 AND period_start = $2");
            db.fetch_optional(find.bind("ws").bind(number)).await
        }
    });
    for found in futures_util::future::join_all(writing).await {
        assert!(found.expect("the pooler answers").is_some(), "what was written is read");
    }
}
