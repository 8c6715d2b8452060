/** How long the gateway waits for its Postgres. All in milliseconds. */
export interface DatabaseWaits {
  /** A new connection, until it takes queries. `connect_timeout` in the URL goes before it. */
  readonly connectMs: number;
  /** Between two tries to connect, at least; at most twice as long. */
  readonly reconnectMs: number;
  /** A statement on the server, which cancels it then. Less than `queryMs`, so that its word comes first. */
  readonly statementMs: number;
  /** The answer to a query; then its connection is dropped. */
  readonly queryMs: number;
  /**
   * A transaction without a statement, until the server ends its session. Less than `statementMs`, so that
   * statements that wait for its locks go on.
   */
  readonly idleTransactionMs: number;
  /** One statement of a migration. */
  readonly migrationMs: number;
  /** The lock for migrations, while another session has it. */
  readonly migrationLockMs: number;
  /** Between two looks at that lock. */
  readonly migrationLookMs: number;
  /** Between two checks of the connection that listens. */
  readonly listenCheckMs: number;
  /** Silence on a connection, until TCP probes whether the other side is there. */
  readonly keepAliveMs: number;
  /** A notice to come back through a pooler. */
  readonly noticeMs: number;
  /** Queries under way when the gateway stops. */
  readonly closeMs: number;
}

/**
 * Claims and leases hold for 12 s and are renewed every 3 s: a renewal that fails after `queryMs` leaves
 * time for another one.
 */
export const realDatabaseWaits: DatabaseWaits = {
  connectMs: 5_000,
  reconnectMs: 250,
  statementMs: 4_500,
  queryMs: 5_000,
  idleTransactionMs: 3_000,
  migrationMs: 600_000,
  migrationLockMs: 300_000,
  migrationLookMs: 250,
  listenCheckMs: 10_000,
  keepAliveMs: 10_000,
  noticeMs: 3_000,
  closeMs: 5_000,
};
