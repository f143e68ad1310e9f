// The API server's address and the credentials of requests.

import { Agent } from 'node:https'
import { type Anchors, proxyTrust, secureContextFor } from '#shared/adapters/net/anchors.ts'
import { OpeningAgent, openSecure } from '#shared/adapters/net/secure.ts'
import { tlsOptions } from '#shared/adapters/net/trust.ts'
import { proxyFor } from '#shared/kernel/proxy.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

/** One way to reach the server; looked up again when the server answers 401. */
export type Access = {
  server: URL
  agent: Agent
  /** Called for each request, because tokens rotate. */
  headers: () => Promise<Record<string, string>>
}

/** As in a kubeconfig. `caPem`: no other authority is trusted. */
export type ServerTls = Pick<Anchors, 'caPem' | 'cert' | 'key'> & {
  insecureSkipVerify?: boolean
  servername?: string | undefined
  /** Its `proxy-url`, which takes precedence over the environment's. */
  proxy?: URL
}

const CONNECT_MS = 15 * SECOND_MS

/** The client drops idle connections itself, before the server or a middlebox drops them unnoticed. */
export function createAgent(server: URL, tls: ServerTls): Agent {
  const { insecureSkipVerify = false, servername, proxy = proxyFor(server), ...anchors } = tls
  const trust = { secureContext: secureContextFor({ ...anchors, only: true }), verify: !insecureSkipVerify }
  const options = { keepAlive: true, maxSockets: 16, timeout: 30 * SECOND_MS }
  const host = server.hostname.replace(/^\[(.*)\]$/, '$1')
  if (proxy === undefined) return new Agent({ ...options, ...tlsOptions(servername ?? host, trust) })
  // The client's certificate must be sent only to the server.
  const way = { proxy, proxyTrust: proxyTrust(tls.caPem), connectMs: CONNECT_MS }
  const target = { host, port: Number(server.port || 443), trust, servername, ...way }
  return new OpeningAgent(options, () => openSecure(target))
}
