//! Posting: one request, no redirects, a bounded answer.

use std::time::Duration;

use bytes::Bytes;
use outbound::{AllowedNetworks, Outbound, PostError, PostReply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Posts to a server that answers with `answer` and keeps the connection open; gives back the request's text too.
async fn post(answer: &[u8], timeout: Duration) -> (Result<PostReply, PostError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/hook?token=secret", listener.local_addr().expect("an address"));
    let answer = answer.to_vec();
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("accepts");
        let mut request = Vec::new();
        while !request.ends_with(b"{\"a\":1}") {
            request.push(connection.read_u8().await.expect("a byte"));
        }
        connection.write_all(&answer).await.expect("writes");
        (String::from_utf8(request).expect("ASCII"), connection)
    });
    let outbound = Outbound::new(AllowedNetworks::parse("127.0.0.1").expect("networks")).expect("builds");
    let headers = [("content-type", "application/json".to_owned()), ("x-mine", "1".to_owned())];
    let posted = outbound.post(&url, &headers, Bytes::from_static(b"{\"a\":1}"), timeout).await;
    let (request, connection) = server.await.expect("serves");
    drop(connection);
    (posted, request)
}

#[tokio::test]
async fn the_body_goes_out_as_it_is_and_the_answer_comes_back() {
    let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 6\r\n\r\nthanks";
    let (posted, request) = post(answer, Duration::from_secs(10)).await;
    let reply = posted.expect("an answer");
    assert_eq!((reply.status, reply.body.as_slice()), (202, &b"thanks"[..]));
    assert!(request.starts_with("POST /hook?token=secret HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-mine: 1\r\n") && request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(post(answer, Duration::from_secs(10)).await.0.expect("an answer").status, 302);
}

#[tokio::test]
async fn only_the_beginning_of_a_long_answer_is_kept() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    answer.extend(vec![b'x'; 5000]);
    assert_eq!(post(&answer, Duration::from_secs(10)).await.0.expect("an answer").body, vec![b'x'; 1024]);
}

#[tokio::test]
async fn a_status_counts_although_the_body_never_ends() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun";
    let reply = post(answer, Duration::from_millis(300)).await.0.expect("an answer");
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"begun"[..]));
}

#[tokio::test]
async fn no_answer_in_time_is_told_without_secrets() {
    let (posted, _request) = post(b"", Duration::from_millis(300)).await;
    let error = posted.expect_err("nothing came");
    assert!(matches!(error, PostError::TimedOut { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
