// The real bundle of the sweep, with its pod's memory and the time of its tick, against ten thousand objects, two thousand of them hostile.
// API server and broker are stand-ins: etcd does not hold two gigabytes. test/contract covers pages of the real API server.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { writeKubeconfig } from '#test/environment/kubernetes/kubeconfig.ts'
import { PROJECT } from '#test/environment/process/tools.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { type Collections, type Made, ManyObjects } from '../system/support/many-objects.ts'

const MIB = 2 ** 20
const LIMIT_BYTES = 256 * MIB
const MINUTE_MS = 60_000
/** Sorts before all others, as a hostile tenant would choose. */
const FLOOD = 'aaa-flood'
const NAMESPACES = Array.from({ length: 40 }, (_, index) => `team-${String(index).padStart(2, '0')}`)
const LONG_AGO = '2026-11-01T00:00:00Z'

function made(kind: KindName, namespace: string, name: string, fields: () => Partial<LooseObject>): Made {
  const uid = `${kind}-${namespace}-${name}`
  const make = () => {
    const { metadata, ...rest } = fields()
    const own = { name, namespace, uid, resourceVersion: '7', creationTimestamp: LONG_AGO }
    return { apiVersion: KINDS[kind].apiVersion, kind, ...rest, metadata: { ...metadata, ...own } }
  }
  return { namespace, name, make }
}

const LONG = 'x'.repeat(MIB)
/** An annotation of a megabyte takes several in memory. */
const MANY = Array.from({ length: 60_000 }, () => ({ type: 'a' }))

/** A due object; one kind of field or another is a megabyte long. */
function hostile(kind: KindName, count: number): Made[] {
  return Array.from({ length: count }, (_, index) =>
    made(kind, FLOOD, `h-${String(index).padStart(4, '0')}`, () =>
      index % 2 === 0
        ? { spec: { metadata: LONG }, status: {} }
        : { spec: {}, status: { conditions: MANY, uploadName: LONG.slice(0, 1000) } },
    ),
  )
}

/** Each namespace has 5 Snapshots that are due; the others have ended some time ago, or wait. */
function snapshots(): Made[] {
  return NAMESPACES.flatMap((namespace) =>
    Array.from({ length: 100 }, (_, index) =>
      made('Snapshot', namespace, `s-${String(index).padStart(3, '0')}`, () => {
        if (index < 5)
          return { metadata: { name: '', labels: { 'dormouse.dev/step': 'snapshot' } }, spec: {}, status: {} }
        const status = { phase: 'Uploaded', completionTimestamp: new Date().toISOString() }
        return {
          metadata: { name: '', labels: { 'dormouse.dev/step': 'done' } },
          spec: { backupRepository: 'b' },
          status,
        }
      }),
    ),
  )
}

function uploads(): Made[] {
  return NAMESPACES.flatMap((namespace) =>
    Array.from({ length: 100 }, (_, index) =>
      made('Upload', 'velero', `u-${namespace}-${index}`, () => ({
        metadata: { name: '', labels: { 'dormouse.dev/step': 'done' } },
        spec: { snapshotReference: `${namespace}/s-${String(index).padStart(3, '0')}` },
        status: { phase: 'Completed', root: 'roots/x', completionTimestamp: new Date().toISOString() },
      })),
    ),
  )
}

const byPlace = (list: Made[]) =>
  list.sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1))

function collections(): Collections {
  return {
    CloneFromSnapshot: byPlace(hostile('CloneFromSnapshot', 1000)),
    Snapshot: byPlace([...hostile('Snapshot', 1000), ...snapshots()]),
    Upload: byPlace(uploads()),
  }
}

const load = suite('the sweep under load')
let folder: string
let api: ManyObjects
let broker: Server
let woken: Map<string, number>
let isSilent = false
let sweeper: ChildProcess | undefined
let log = ''

load.before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'dormouse-sweep-load-'))
  broker = createServer((request, response) => {
    const { 'ce-namespace': namespace, 'ce-name': name, 'ce-kind': kind } = request.headers
    const key = `${kind} ${namespace}/${name}`
    woken.set(key, (woken.get(key) ?? 0) + 1)
    request.resume()
    if (!isSilent) response.writeHead(202).end()
  })
  await once(broker.listen(0, '127.0.0.1'), 'listening')
})
load.before.each(async () => {
  woken = new Map()
  isSilent = false
  log = ''
  api = new ManyObjects(collections())
  await api.start()
})
load.after.each(async () => {
  sweeper?.kill('SIGKILL')
  sweeper = undefined
  await api.stop()
})
load.after(() => {
  broker.closeAllConnections()
  broker.close()
  rmSync(folder, { recursive: true, force: true })
})

/** The pod's settings: NODE_OPTIONS sets its heap; the test asserts its memory limit. */
function nodeOptions(): string {
  const [service] = parseAllDocuments(readFileSync(path.join(PROJECT, 'config/services/sweep.yaml'), 'utf8'))
  const { spec } = (service as NonNullable<typeof service>).toJS() as LooseObject
  const [container] = spec.template.spec.containers
  assert.is(container.resources.limits.memory, '256Mi')
  return container.env.find(({ name }: { name: string }) => name === 'NODE_OPTIONS').value
}

async function startSweeper(): Promise<string> {
  const kubeconfig = path.join(folder, 'kubeconfig')
  await writeKubeconfig(kubeconfig, { server: api.url, caPem: api.authority.certPem, token: 't', user: 'sweep' })
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    PORT: '0',
    KUBECONFIG: kubeconfig,
    NODE_OPTIONS: nodeOptions(),
    DORMOUSE_SWEEP_GAP_SECONDS: '0',
    DORMOUSE_BROKER_URL: `http://127.0.0.1:${(broker.address() as AddressInfo).port}/`,
  }
  const bundle = path.join(PROJECT, 'build/bundles/dormouse-sweep.mjs')
  sweeper = spawn(process.execPath, [bundle], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const { promise, resolve } = Promise.withResolvers<string>()
  sweeper.stdout?.on('data', (chunk) => {
    log += chunk
    const [, port] = /listens on port (\d+)/.exec(log) ?? []
    if (port !== undefined) resolve(`http://127.0.0.1:${port}/`)
  })
  return await promise
}

async function tick(url: string): Promise<{ status: number; ms: number }> {
  const startMs = performance.now()
  const headers = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': 'ping', 'ce-type': 'dev.knative.sources.ping' }
  const { status } = await fetch(url, { method: 'POST', headers })
  return { status, ms: performance.now() - startMs }
}

function peakBytes(): number {
  const status = readFileSync(`/proc/${sweeper?.pid}/status`, 'latin1')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

function wokenOfOthers(): number {
  return [...woken.keys()].filter((key) => key.includes('/s-')).length
}

const DUE_OF_OTHERS = NAMESPACES.length * 5

/** Two sweeps, each within its minute; a third tick in the middle is answered at once. */
async function sweepTwice(): Promise<void> {
  const url = await startSweeper()
  const first = tick(url)
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const beside = await tick(url)
  const one = await first
  const two = await tick(url)
  console.log(
    `  ${Math.round(one.ms / 1000)} s and ${Math.round(two.ms / 1000)} s, ${Math.round(peakBytes() / MIB)} MiB at its peak, ` +
      `${wokenOfOthers()} of ${DUE_OF_OTHERS} others woken, ${woken.size - wokenOfOthers()} of ${FLOOD}, ` +
      `longest page ${Math.round(api.longestPageBytes / 1024)} KiB, lists ${JSON.stringify(api.lists)}`,
  )
  assert.equal([one.status, beside.status, two.status], [202, 202, 202])
  assert.ok(beside.ms < 5000, `the tick beside was answered after ${beside.ms} ms`)
  assert.match(log, 'one is under way')
  assert.ok(one.ms < MINUTE_MS && two.ms < MINUTE_MS, `${one.ms} ms, ${two.ms} ms`)
  assert.ok(peakBytes() < LIMIT_BYTES, `${peakBytes() / MIB} MiB`)
  assert.is(sweeper?.exitCode, null)
  assert.equal(api.problems, [])
}

load(
  '2,000 of 10,000 objects have a megabyte: the sweep stays within its memory and its minute, and wakes all due objects of the others',
  async () => {
    await sweepTwice()
    assert.is(wokenOfOthers(), DUE_OF_OTHERS)
  },
)

load('the same while the broker takes what it is sent and never answers', async () => {
  isSilent = true
  await sweepTwice()
  assert.is(wokenOfOthers(), DUE_OF_OTHERS)
})

load('a kind that cannot be listed is missed alone', async () => {
  api.broken.add('CloneFromSnapshot')
  api.broken.add('DeleteSnapshot')
  await sweepTwice()
  assert.is(wokenOfOthers(), DUE_OF_OTHERS)
  assert.match(log, 'could not list CloneFromSnapshots')
})

load.run()
