// Where the API server is and how a request proves who sends it.

import { Agent, type AgentOptions } from 'node:https'
import { SECOND_MS } from '#shared/kernel/units.ts'

/** One way in; looked for again when the server says 401. */
export type Access = {
  server: URL
  agent: Agent
  /** Called for each request: tokens rotate. */
  headers: () => Promise<Record<string, string>>
}

/** Idle connections are dropped by us, before the server or something on the way does it unseen. */
export function createAgent(tls: AgentOptions): Agent {
  return new Agent({ ...tls, keepAlive: true, maxSockets: 16, timeout: 30 * SECOND_MS })
}
