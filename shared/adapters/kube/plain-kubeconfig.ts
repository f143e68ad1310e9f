// Kubeconfig files that a program has written: JSON, one token or client certificate, without a login program and without a proxy.

import { readFile } from 'node:fs/promises'
import { type Access, createAgent, type ServerTls } from './access.ts'

type Fields = Record<string, unknown>
type Named = { name?: string; context?: Fields; cluster?: Fields; user?: Fields }
type KubeConfigFile = { 'current-context'?: string; contexts?: Named[]; clusters?: Named[]; users?: Named[] }

const CLUSTER_FIELDS = ['server', 'certificate-authority-data', 'tls-server-name']
const USER_FIELDS = ['token', 'client-certificate-data', 'client-key-data']

/** undefined: the file uses features that are not supported here, so the Kubernetes client has to read it. */
export async function accessFromPlainKubeconfig(file: string): Promise<Access | undefined> {
  const config = parsed(await readFile(file, 'utf8').catch(() => ''))
  const context = config.contexts?.find(({ name }) => name === config['current-context'])?.context
  const cluster = config.clusters?.find(({ name }) => name === context?.['cluster'])?.cluster
  const user = config.users?.find(({ name }) => name === context?.['user'])?.user
  if (!holdsOnly(cluster, CLUSTER_FIELDS) || !holdsOnly(user, USER_FIELDS)) return undefined
  const server = URL.parse(cluster['server'] ?? '')
  if (server?.protocol !== 'https:') return undefined
  const authorization: Record<string, string> =
    user['token'] === undefined ? {} : { authorization: `Bearer ${user['token']}` }
  return { server, agent: createAgent(server, tlsOf(cluster, user)), headers: async () => authorization }
}

/** Most kubeconfig files are YAML, and those are not read here. */
function parsed(text: string): KubeConfigFile {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

function holdsOnly(fields: Fields | undefined, known: string[]): fields is Record<string, string> {
  const entries = Object.entries(fields ?? { missing: true })
  return entries.every(([name, value]) => known.includes(name) && typeof value === 'string')
}

function tlsOf(cluster: Record<string, string>, user: Record<string, string>): ServerTls {
  return {
    caPem: decoded(cluster['certificate-authority-data'])?.toString('utf8'),
    cert: decoded(user['client-certificate-data']),
    key: decoded(user['client-key-data']),
    servername: cluster['tls-server-name'],
  }
}

function decoded(base64: string | undefined): Buffer | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64')
}
