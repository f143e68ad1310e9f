// One request to an address by http or https: direct, or through the proxy that the environment names for it.

import type { ClientRequest, IncomingMessage } from 'node:http'
import { agentProxyEnv } from '#shared/kernel/proxy.ts'
import { http } from './http.ts'

type Outgoing = { method: 'POST'; headers: Record<string, string | number> }

/** Each request has a connection of its own. RetryableError `ProxyUnsupported`. */
export function openRequest(
  url: string,
  options: Outgoing,
  onResponse: (response: IncomingMessage) => void,
): ClientRequest {
  const target = new URL(url)
  // Most addresses are http, so the https module is loaded only when it is needed.
  const { request, Agent } = target.protocol === 'https:' ? process.getBuiltinModule('node:https') : http
  const agent = new Agent({ proxyEnv: agentProxyEnv(target) })
  return request(target, { ...options, agent }, onResponse)
}
