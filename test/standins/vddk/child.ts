// A process as Dormouse's mover makes one for VDDK: it loads and starts the library, lets workers do the steps of a plan
// (JSON on stdin) and prints what came of them (JSON on stdout).

import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import koffi from 'koffi'
import { asError } from '#shared/kernel/errors.ts'
import { exitVddk, findVddk, initVddk, loadVddk, type VddkLibrary } from '#shared/providers/vddk/library.ts'
import { createVddkLock } from '#shared/providers/vddk/lock.ts'
import { bindVddk } from '#shared/providers/vddk/signatures.ts'
import type { Step, StepResult, WorkerOrder } from './worker.ts'

export type ChildPlan = {
  /** One worker thread each. */
  workers: Step[][]
  configFile?: string
  /** Faults that the tests make on purpose. */
  wrong?: 'no deep binding' | 'a lock per worker' | 'init in a worker' | 'workers before init' | 'init twice'
}
type Failure = { name: string; reason?: string; message: string; retryAfterSeconds?: number }
export type ChildReport = { failure?: Failure; workers: StepResult[][] }

const plan = JSON.parse(await text(process.stdin)) as ChildPlan
const libDir = process.env['DORMOUSE_VDDK_DIR'] ?? ''

function load(): VddkLibrary {
  if (plan.wrong !== 'no deep binding') return loadVddk(libDir)
  const path = findVddk(libDir)
  return { libDir, path, functions: bindVddk(koffi.load(path)) }
}

/** Where the step `meet` counts arrivals. Workers that start too early meet the main thread too, after InitEx. */
const gate = new SharedArrayBuffer(4)
const early = plan.wrong === 'workers before init'

/** One lock for all (or, wrongly, one each). */
function startWorkers(): Promise<StepResult[][]> {
  const lock = createVddkLock()
  const parties = plan.workers.length + (early ? 1 : 0)
  const orders = plan.workers.map((steps): WorkerOrder => {
    const shared = plan.wrong === 'a lock per worker' ? createVddkLock() : lock
    return { libDir, steps, lock: shared, gate, parties, init: plan.wrong === 'init in a worker' }
  })
  return Promise.all(orders.map(runWorker))
}

function runWorker(order: WorkerOrder): Promise<StepResult[]> {
  const { promise, resolve, reject } = Promise.withResolvers<StepResult[]>()
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: order })
  worker.once('message', resolve)
  worker.once('error', reject)
  return promise
}

async function work(): Promise<StepResult[][]> {
  const library = load()
  const waiting = early ? startWorkers() : undefined
  if (early) await new Promise((resolve) => setTimeout(resolve, 150))
  if (plan.wrong !== 'init in a worker') initVddk(library, plan.configFile)
  if (plan.wrong === 'init twice') initVddk(library, plan.configFile)
  if (early) Atomics.add(new Int32Array(gate), 0, 1)
  const results = await (waiting ?? startWorkers())
  if (plan.wrong !== 'init in a worker') exitVddk(library)
  return results
}

function describeFailure(thrown: unknown): Failure {
  const error: Error & { reason?: string; retryAfterSeconds?: number } = asError(thrown)
  const { name, message, reason, retryAfterSeconds } = error
  return { name, message, ...(reason && { reason }), ...(retryAfterSeconds && { retryAfterSeconds }) }
}

const report: ChildReport = await work().then(
  (workers) => ({ workers }),
  (thrown: unknown) => ({ workers: [], failure: describeFailure(thrown) }),
)
process.stdout.write(JSON.stringify(report))
