// Runs Go's own programs (test/tools/gonet) on the rows that a test gives to Dormouse.

import { execFile } from 'node:child_process'
import { findTools } from '../environment/process/tools.ts'

export type GoAnswer = { answer: string; why?: string }
export type ProxyRow = { url: string; env: Record<string, string> }
/** `only`: does not trust the system's authorities, as govmomi does. */
export type TlsRow = { address: string; host: string; ca: string; only: boolean }

/** Go reads these variables only once per process. */
export async function askProxies(rows: readonly ProxyRow[]): Promise<GoAnswer[]> {
  const answers: GoAnswer[] = []
  const rest = [...rows]
  while (rest.length > 0) {
    const env = rest[0]!.env
    const next = rest.findIndex((row) => row.env !== env)
    const same = rest.splice(0, next === -1 ? rest.length : next)
    answers.push(
      ...(await ask(
        same.map(({ url }) => ({ kind: 'proxy', url })),
        env,
      )),
    )
  }
  return answers
}

/** `env`: variables of the Go program, such as SSL_CERT_FILE. */
export const askTls = (rows: readonly TlsRow[], env: Record<string, string> = {}) =>
  ask(
    rows.map((row) => ({ kind: 'tls', ...row })),
    env,
  )

async function ask(rows: readonly object[], env: Record<string, string> = {}): Promise<GoAnswer[]> {
  const program = (await findTools(['gonet'], console.error)).get('gonet')!
  const lines = await new Promise<string>((resolve, reject) => {
    const options = { env, maxBuffer: 2 ** 26 }
    const child = execFile(program, options, (error, stdout) => (error === null ? resolve(stdout) : reject(error)))
    child.stdin!.end(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  })
  return lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}
