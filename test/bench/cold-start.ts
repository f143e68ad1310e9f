// How long a function that scaled to zero takes until its first event is answered, and how much memory it needs for that.
// Usage: node test/bench/cold-start.ts [STEP]...   (functions out of build/bundles; without a name all of them)
// Exit code 1 when a function misses its goal.
//
// Times are shown as multiples of `node -e 0` of the same round, as that is the floor which no function can go below.
// The function's API server is a stub in this process: TLS and JSON are real, etcd is not.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { stringify } from 'yaml'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { Authority } from '#test/environment/kubernetes/certificates.ts'
import { writeKubeconfig } from '#test/environment/kubernetes/kubeconfig.ts'
import { Ports } from '#test/environment/process/ports.ts'
import { quickStart } from '../../hack/bundling.ts'

const ROUNDS = 10
const LIGHT_GOAL: Goal = { ratio: 6, mebibytes: 80 }
const HEAVY_GOAL: Goal = { ratio: 9, mebibytes: 110 }
const BUNDLES = path.resolve(process.env['BENCH_BUNDLES'] ?? 'build/bundles')

/** Heavy functions load VDDK and the engine when they have work, not before. */
const HEAVY = ['upload', 'download', 'maintenance']

/** Which kind's event a function is woken with. The sweep takes ticks. */
const KIND_OF: Record<string, KindName> = {
  snapshot: 'Snapshot',
  clone: 'CloneFromSnapshot',
  delete: 'DeleteSnapshot',
  repository: 'BackupRepositoryClaim',
  download: 'Download',
}

/** What every function is given by its manifest, as far as it needs it to start. */
const FUNCTION_ENV = { DORMOUSE_CLUSTER_ID: 'bench', DORMOUSE_BROKER_URL: 'http://127.0.0.1:1' }

type Goal = { ratio: number; mebibytes: number }
type Subject = { name: string; bundle: string; env: Record<string, string>; goal: Goal; kind: KindName }
type Run = { ms: number; cpuMs: number; mebibytes: number }

const folder = await mkdtemp(path.join(tmpdir(), 'dormouse-cold-start-'))
const ports = new Ports()
const authority = new Authority()
const stub = await startStub()
const SERVED_PATH = /^\/apis?\/(v1|[^/]+\/[^/]+)(?:\/namespaces\/[^/]+)?\/([a-z]+)/

/** Answers everything with one object that needs no work: `Completed`, and labelled as done. */
async function startStub(): Promise<Server> {
  const { certPem, keyPem } = authority.serverCertificate(['127.0.0.1'])
  const metadata = {
    name: 'x',
    namespace: 'velero',
    uid: 'u',
    resourceVersion: '1',
    labels: { 'dormouse.dev/step': 'done' },
  }
  const server = createServer({ cert: certPem, key: keyPem }, (incoming, response) => {
    const [, apiVersion, plural] = SERVED_PATH.exec(incoming.url ?? '') ?? []
    const kind = Object.entries(KINDS).find(([, info]) => info.plural === plural)?.[0]
    const object = { apiVersion, kind, metadata, spec: {}, status: { phase: 'Completed' } }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(object))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function subjects(names: string[]): Promise<Subject[]> {
  const port = (stub.address() as AddressInfo).port
  const kubeconfig = path.join(folder, 'kubeconfig')
  const server = `https://127.0.0.1:${port}`
  await writeKubeconfig(kubeconfig, { server, caPem: authority.certPem, token: 'bench', user: 'bench' })
  const pod = await podFolder()
  const light = { bundle: await bundleLightFunction(), goal: LIGHT_GOAL, kind: 'Upload' } as const
  const inPod = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port), BENCH_POD: pod }
  return [
    { ...light, name: 'least, in a pod', env: inPod },
    { ...light, name: 'least, plain kubeconfig', env: { KUBECONFIG: kubeconfig } },
    { ...light, name: 'least, YAML kubeconfig', env: { KUBECONFIG: await asYaml(kubeconfig) } },
    ...(await copiedBundles(names)).map(({ name, bundle }) => ({
      name: `${name}, kubeconfig`,
      bundle,
      goal: HEAVY.includes(name) ? HEAVY_GOAL : LIGHT_GOAL,
      kind: KIND_OF[name] ?? 'Upload',
      env: { KUBECONFIG: kubeconfig, ...FUNCTION_ENV },
    })),
  ]
}

/** The same settings in a form that only the Kubernetes client reads. */
async function asYaml(kubeconfig: string): Promise<string> {
  const file = `${kubeconfig}.yaml`
  await writeFile(file, stringify(JSON.parse(readFileSync(kubeconfig, 'utf8'))))
  return file
}

async function podFolder(): Promise<string> {
  const pod = path.join(folder, 'service-account')
  await mkdir(pod)
  await writeFile(path.join(pod, 'ca.crt'), authority.certPem)
  await writeFile(path.join(pod, 'token'), 'bench')
  return pod
}

async function bundleLightFunction(): Promise<string> {
  const outdir = path.join(folder, 'least')
  await build({ ...quickStart, entryPoints: [path.join(import.meta.dirname, 'cold-start-function.ts')], outdir })
  return path.join(outdir, 'cold-start-function.mjs')
}

/** A copy, so that a build in between does not change what is measured. */
async function copiedBundles(names: string[]): Promise<{ name: string; bundle: string }[]> {
  if (!existsSync(BUNDLES)) return []
  const copy = path.join(folder, 'bundles')
  await cp(BUNDLES, copy, { recursive: true })
  await symlink(path.resolve('node_modules'), path.join(folder, 'node_modules')) // for native packages
  const steps = readdirSync(copy).flatMap((file) => /^dormouse-(.+)\.mjs$/.exec(file)?.[1] ?? [])
  const wanted = steps.filter((step) => names.length === 0 || names.includes(step))
  return wanted.map((name) => ({ name, bundle: path.join(copy, `dormouse-${name}.mjs`) }))
}

async function measure(all: Subject[]): Promise<boolean> {
  for (const subject of all) await coldStart(subject) // writes the compile cache, as the image build does
  const floors: number[] = []
  const runs = new Map<Subject, { ratio: number; run: Run }[]>(all.map((subject) => [subject, []]))
  for (let round = 0; round < ROUNDS; round++) {
    const floorMs = await emptyNode()
    floors.push(floorMs)
    for (const subject of all) {
      const run = await coldStart(subject)
      runs.get(subject)?.push({ ratio: run.ms / floorMs, run })
    }
  }
  console.log(
    `${ROUNDS} interleaved rounds, medians; goals: ${goalText(LIGHT_GOAL)} (light), ${goalText(HEAVY_GOAL)} (upload, download)\n`,
  )
  console.log(line('', 'to the answer', 'of node -e 0', 'CPU time', 'peak RSS', ''))
  console.log(line('node -e 0', `${median(floors).toFixed(0)} ms`, '1.0x'))
  return [...runs].map(([subject, found]) => report(subject, found)).every(Boolean)
}

function report(subject: Subject, found: { ratio: number; run: Run }[]): boolean {
  const ratio = median(found.map((one) => one.ratio))
  const mebibytes = median(found.map(({ run }) => run.mebibytes))
  const ms = median(found.map(({ run }) => run.ms))
  const cpuMs = median(found.map(({ run }) => run.cpuMs))
  const good = ratio <= subject.goal.ratio && mebibytes <= subject.goal.mebibytes
  const verdict = good ? 'ok' : 'MISSED'
  const figures = [
    `${ms.toFixed(0)} ms`,
    `${ratio.toFixed(1)}x`,
    `${cpuMs.toFixed(0)} ms`,
    `${mebibytes.toFixed(0)} MiB`,
  ]
  console.log(line(subject.name, ...figures, verdict))
  return good
}

function line(name: string, ...cells: string[]): string {
  return `${name.padEnd(24)}${cells.map((cell) => cell.padStart(15)).join('')}`
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

async function emptyNode(): Promise<number> {
  const startMs = performance.now()
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit')
  return performance.now() - startMs
}

async function coldStart({ name, bundle, env, kind }: Subject): Promise<Run> {
  const port = await ports.take()
  const startMs = performance.now()
  const child = spawn(process.execPath, [bundle], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PORT: String(port), NODE_COMPILE_CACHE: path.join(folder, 'cache'), ...env },
  })
  const output = outputOf(child)
  const status = await firstAnswer(child, port, kind)
  const ms = performance.now() - startMs
  if (status === undefined) throw new Error(`${name} ended:\n${output()}`)
  const [cpuMs, mebibytes] = [cpuTimeMs(child.pid), peakMebibytes(child.pid)]
  child.kill('SIGTERM') // in order, so that the compile cache is written
  await once(child, 'exit')
  if (status !== 202) throw new Error(`${name} answered ${status}:\n${output()}`)
  return { ms, cpuMs, mebibytes }
}

function outputOf(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => {
      text += bytes
    })
  }
  return () => text
}

async function firstAnswer(child: ChildProcess, port: number, kind: KindName): Promise<number | undefined> {
  while (child.exitCode === null) {
    const status = await post(port, kind).catch(() => undefined)
    if (status !== undefined) return status
    await sleep(1)
  }
  return undefined
}

/** An event as an ApiServerSource sends it. */
function post(port: number, kind: KindName): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  const headers = {
    'content-type': 'application/json',
    'ce-specversion': '1.0',
    'ce-id': crypto.randomUUID(),
    'ce-source': 'https://127.0.0.1',
    'ce-type': 'dev.knative.apiserver.ref.update',
    'ce-apiversion': KINDS[kind].apiVersion,
    'ce-kind': kind,
    'ce-namespace': 'velero',
    'ce-name': 'x',
  }
  const outgoing = request({ host: '127.0.0.1', port, method: 'POST', headers, agent: false }, (response) => {
    response.resume().on('end', () => resolve(response.statusCode))
  })
  outgoing.on('error', reject).end('{}')
  return promise
}

/** Of the threads that are still there, which is all of them: Node keeps its pool. */
function cpuTimeMs(pid: number | undefined): number {
  const tasks = readdirSync(`/proc/${pid}/task`)
  const nanoseconds = tasks.map((task) =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e6
}

function peakMebibytes(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

try {
  process.exitCode = (await measure(await subjects(process.argv.slice(2)))) ? 0 : 1
} finally {
  stub.closeAllConnections()
  stub.close()
  ports.release()
  await rm(folder, { recursive: true, force: true })
}

function goalText({ ratio, mebibytes }: Goal): string {
  return `${ratio}x and ${mebibytes} MiB`
}
