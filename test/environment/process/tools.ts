// Where the real programs are: test/tools/build.sh builds them once per machine, and the C compiler the small ones in this folder.

import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const PROJECT = path.resolve(import.meta.dirname, '../../..')
const BUILD = path.join(PROJECT, 'test/tools/build.sh')

/** The same rule as in test/tools/build.sh. */
export const CACHE = process.env['DORMOUSE_CACHE'] ?? path.join(cacheHome(), 'dormouse')

export type ToolName =
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kubectl'
  | 'etcd'
  | 'apiserver_receive_adapter'
  | 'knative-crds'
  | 'versitygw'
  | 'vcenter'
  | 'velero'
  | 'velero-plugin-for-aws'
  | 'gonet'
  | 'aws-sdk'

/** Paths of the named tools. Builds missing ones first, which takes minutes: `say` tells the user. */
export async function findTools(names: ToolName[], say: (line: string) => void): Promise<Map<ToolName, string>> {
  const found = await Promise.all(names.map(async (name) => [name, await lookUp(name)] as const))
  const missing = found.filter(([, place]) => place === undefined).map(([name]) => name)
  if (missing.length > 0) {
    say(`building ${missing.join(', ')} (once per machine, this takes some minutes)`)
    await build(missing)
  }
  const places = new Map<ToolName, string>()
  for (const [name, place] of found) places.set(name, place ?? (await pathOf(name)))
  return places
}

export async function findLeash(): Promise<string> {
  return await compiled('leash')
}

export async function findOwnNetwork(): Promise<string> {
  return await compiled('own-network')
}

/** Compiles `<name>.c` unless this machine has compiled the same text before. */
async function compiled(name: string): Promise<string> {
  const source = path.join(import.meta.dirname, `${name}.c`)
  const hash = createHash('sha256')
    .update(await readFile(source))
    .digest('hex')
    .slice(0, 12)
  const folder = path.join(CACHE, 'tools', `${name}-${hash}`)
  const program = path.join(folder, name)
  if (existsSync(program)) return program
  await mkdir(folder, { recursive: true })
  const scratch = `${program}.${process.pid}`
  await run(process.env['CC'] ?? 'cc', ['-O2', '-o', scratch, source])
  await rename(scratch, program)
  return program
}

async function lookUp(name: ToolName): Promise<string | undefined> {
  return await pathOf(name).catch(() => undefined)
}

async function pathOf(name: ToolName): Promise<string> {
  return (await run(BUILD, ['--path', name])).stdout.trim()
}

function build(names: ToolName[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(BUILD, names, { stdio: ['ignore', 2, 2] })
    child.once('error', reject)
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`test/tools/build.sh ended with ${code}`))))
  })
}

function cacheHome(): string {
  return process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache')
}
