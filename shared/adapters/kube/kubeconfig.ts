// Credentials from any kubeconfig file, by the Kubernetes client. Loaded only when one is needed: see find-access.ts.

import { Agent, type RequestOptions } from 'node:https'
// Not the package's index: it would load watch, exec, web sockets and so on.
import { KubeConfig } from '@kubernetes/client-node/dist/config.js'
import { TerminalError } from '#shared/kernel/errors.ts'
import { type Access, createAgent, type ServerTls } from './access.ts'

/** Without a `file`: the files of KUBECONFIG, else `~/.kube/config`. */
export async function accessFromKubeConfig(file: string | undefined): Promise<Access> {
  const config = new KubeConfig()
  if (file === undefined) config.loadFromDefault()
  else config.loadFromFile(file)
  const cluster = config.getCurrentCluster()
  // The client falls back to this address when it finds neither a file nor a service account.
  if (cluster === null || cluster.server === 'http://localhost:8080') {
    throw new TerminalError('InvalidSettings', 'no kubeconfig with a current context and no service account was found')
  }
  const options = await optionsOf(config)
  const server = new URL(cluster.server)
  const { proxyUrl } = cluster
  return {
    server,
    // Only the client's own agent supports SOCKS; the agent of this adapter keeps connections alive and knows the trusted authorities.
    agent:
      proxyUrl?.startsWith('socks') === true && options.agent instanceof Agent
        ? options.agent
        : createAgent(server, { ...tlsOf(options), ...(proxyUrl ? { proxy: new URL(proxyUrl) } : {}) }),
    headers: async () => headersOf(await optionsOf(config)),
  }
}

/** Performs the login that the file requires: a token file, a program, OpenID Connect. */
async function optionsOf(config: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = {}
  await config.applyToHTTPSOptions(options)
  return options
}

/** The client returns files and data as bytes of PEM. */
function tlsOf({ ca, cert, key, rejectUnauthorized, servername }: RequestOptions): ServerTls {
  return {
    caPem: ca === undefined ? undefined : String(ca),
    cert: cert as ServerTls['cert'],
    key: key as ServerTls['key'],
    insecureSkipVerify: rejectUnauthorized === false,
    servername,
  }
}

function headersOf({ headers = {}, auth }: RequestOptions): Record<string, string> {
  const basic = typeof auth === 'string' ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {}
  const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)])
  return { ...basic, ...Object.fromEntries(named) }
}
