// Runs the task of a tick under the task's own Lease, so that many ticks on many pods cause no more work than one.

import type { ChangeOf, Lease } from '#shared/api/types.ts'
import { heldLeaseSpec, microTime, RELEASED_LEASE_SPEC } from '#shared/domain/lease.ts'
import { RESUME_ANNOTATION, TASK_LABEL, taskLeaseName, taskTurn } from '#shared/domain/task.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'
import { patchOwnLease } from './lease.ts'
import { whileKept } from './lease-keeper.ts'

type Task = {
  name: string
  /** The minimum time between two starts. */
  gapMs: number
}

/** The position from which the next run resumes. It is written with each renewal of the Lease and at the end. */
export type Resume = { after: string | undefined; keep: (after: string | undefined) => void }

type TaskDeps = Pick<StepDeps, 'cluster' | 'clock' | 'settings' | 'identity' | 'log'>

/**
 * Returns the text of `act`, or why the task does not run now. The start time is written before the task begins and counts even if the task
 * fails, so that a task that always fails is not started again every second.
 */
export async function underTaskLease(
  deps: TaskDeps,
  task: Task,
  act: (resume: Resume) => Promise<string>,
): Promise<string> {
  const seen = await deps.cluster.read('Lease', deps.settings.veleroNamespace, taskLeaseName(task.name))
  const turn = taskTurn(seen, deps.clock.nowMs(), task.gapMs)
  if (turn === 'too soon') return `${task.name}: it has begun less than ${task.gapMs / 1000} s ago`
  const lease = turn === 'go' ? await begin(deps, task, seen) : undefined
  if (lease === undefined) return `${task.name}: one is under way`
  let kept = lease.metadata.annotations?.[RESUME_ANNOTATION]
  const keep = (after: string | undefined) => {
    kept = after
  }
  const renewal = () => ({
    spec: heldLeaseSpec(deps.identity, deps.settings.leaseMs, deps.clock.nowMs()),
    metadata: resumeAfter(kept),
  })
  const release = (held: Lease) => releaseTask(deps, held, kept)
  return await whileKept(deps, lease, { change: renewal, release }, () => act({ after: kept, keep }))
}

/** undefined: another process was first. */
async function begin(deps: TaskDeps, task: Task, seen: Lease | undefined): Promise<Lease | undefined> {
  const nowMs = deps.clock.nowMs()
  const spec = { ...heldLeaseSpec(deps.identity, deps.settings.leaseMs, nowMs), acquireTime: microTime(nowMs) }
  try {
    if (seen !== undefined) return await deps.cluster.patch('Lease', seen, { spec })
    return await deps.cluster.create('Lease', newLease(deps, task, spec))
  } catch (error) {
    if (error instanceof ConflictError) return undefined
    throw error
  }
}

function newLease({ settings }: TaskDeps, { name }: Task, spec: NonNullable<Lease['spec']>): Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: taskLeaseName(name),
      namespace: settings.veleroNamespace,
      labels: { [TASK_LABEL]: name, 'app.kubernetes.io/part-of': 'dormouse' },
    },
    spec,
  }
}

function resumeAfter(after: string | undefined): NonNullable<ChangeOf<'Lease'>['metadata']> {
  return { annotations: { [RESUME_ANNOTATION]: after ?? null } }
}

/** If this fails, the Lease expires by itself. */
async function releaseTask(deps: TaskDeps, lease: Lease, kept: string | undefined): Promise<void> {
  const change = { spec: RELEASED_LEASE_SPEC, metadata: resumeAfter(kept) }
  await patchOwnLease(deps.cluster, lease, change).catch((error: unknown) =>
    deps.log.debug({ err: error }, `the Lease ${lease.metadata.name} is free when it runs out`),
  )
}
