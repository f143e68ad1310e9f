// Wires the sweep: each tick of its PingSource checks all unfinished objects once. An hourly tick looks for orphans in vCenter.

import { STEPPED_KINDS } from '#shared/api/kinds.ts'
import { type Resume, underTaskLease } from '#shared/controllers/task.ts'
import { asError, RetryableError } from '#shared/kernel/errors.ts'
import { Counter } from '#shared/runtime/metrics.ts'
import { type EventAttributes, type ObjectRef, refFromEvent } from '#shared/runtime/ref.ts'
import { serve } from '#shared/runtime/serve.ts'
import { functionUrl, sendWake } from '#shared/runtime/wake.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireVolumes } from '#shared/wiring/volumes.ts'
import { noteDeadLetter, statusText } from './dead-letter.ts'
import { type SweepDeps, type SweepReport, sweep } from './handler.ts'
import { wakeForLostStaging } from './lost-staging.ts'
import { sweepOrphans } from './orphans.ts'
import { wakeForPrunes } from './prunes.ts'
import { wakeForUnidentified } from './unidentified.ts'

const { deps, log, metrics } = wireLight('sweep')
const rescues = new Counter('dormouse_sweep_wakeups_total', 'Wake-ups by the sweep: rescue measures lost events.')
const ended = new Counter(
  'dormouse_sweep_ended_total',
  'What the sweep ended: records, deletions, orphans, abandoned work, data that no backup holds, hand-overs without their restore.',
)
metrics.all.push(rescues, ended)
const { brokerUrl, functionUrlTemplate } = deps.settings

/** Sends to the broker, or straight to the function if the broker refuses, because everything else relies on the sweep. */
async function wake(step: string, ref: ObjectRef): Promise<void> {
  const urls = [brokerUrl, functionUrlTemplate && functionUrl(functionUrlTemplate, step)].filter(
    (url) => url !== undefined,
  )
  if (urls.length === 0) {
    throw new RetryableError(
      'WakeFailed',
      'set DORMOUSE_BROKER_URL or DORMOUSE_FUNCTION_URL_TEMPLATE: the sweep has nowhere to send its events',
    )
  }
  let last: unknown
  for (const url of urls) {
    try {
      await sendWake(url, ref)
      return
    } catch (error) {
      last = error
      log.warn({ err: asError(error), reason: 'WakeFailed' }, `could not send to ${url}`)
    }
  }
  throw last
}

const SWEEP = { name: 'sweep', gapMs: deps.settings.sweepGapMs }
/** The start is recorded before vCenter is contacted, so a sender of events cannot make the sweep log in more often. */
const ORPHANS = { name: 'orphans', gapMs: deps.settings.orphanGapMs }

/** `dormousetask` is an extension that the PingSource sets (eventing/schedules). */
async function onEvent(event: EventAttributes, signal: AbortSignal): Promise<string> {
  const code = event['knativeerrorcode']
  if (code !== undefined)
    return await noteDeadLetter(deps, refFromEvent(event, [...STEPPED_KINDS, 'BackupRepository']), statusText(code))
  if (event['dormousetask'] === 'orphans')
    return await underTaskLease(deps, ORPHANS, (resume) => orphans(signal, resume))
  return await underTaskLease(deps, SWEEP, () => sweepOnce(signal))
}

/** The search for lost staging claims comes last, and runs whether or not the sweep succeeded. */
async function sweepAndLook(sweepDeps: SweepDeps, signal: AbortSignal): Promise<SweepReport> {
  try {
    return await sweep(sweepDeps, signal)
  } finally {
    await lostStaging(signal)
  }
}

async function sweepOnce(signal: AbortSignal): Promise<string> {
  // This comes first, because the sweep itself may fail.
  await wakeForPrunes({ ...deps, wake }).catch((error) =>
    log.warn({ err: asError(error) }, 'could not wake maintenance; the next sweep tries again'),
  )
  await wakeForUnidentified({ ...deps, wake }).catch((error) =>
    log.warn({ err: asError(error) }, 'could not look at the repositories; the next sweep tries again'),
  )
  const count: SweepDeps['count'] = (kind, cause) => rescues.add({ kind, cause })
  const report = await sweepAndLook({ ...deps, wake, count }, signal)
  ended.add({ what: 'record' }, report.collected)
  ended.add({ what: 'deletion' }, report.released)
  ended.add({ what: 'abandoned' }, report.abandoned)
  ended.add({ what: 'unclaimed' }, report.unclaimed)
  ended.add({ what: 'torn-out' }, report.tornOut)
  return told(report)
}

async function lostStaging(signal: AbortSignal): Promise<void> {
  await wakeForLostStaging({ ...deps, wake }, signal).catch((error) =>
    log.warn({ err: asError(error) }, 'could not look at the staging claims; the next sweep tries again'),
  )
}

/** The sweep of each minute never opens a vCenter session. This one does, and logs out again. */
async function orphans(signal: AbortSignal, resume: Resume): Promise<string> {
  const wired = wireVolumes(deps)
  try {
    const { disks, removed, failed } = await sweepOrphans(wired, signal, resume)
    ended.add({ what: 'orphan' }, removed)
    return `looked at ${disks} disks: ${removed} orphaned snapshots removed, ${failed} failed`
  } finally {
    await wired.volumes.close()
  }
}

function told(report: SweepReport): string {
  return `looked at ${report.looked}: ${report.rescued} rescued, ${report.scheduled} scheduled, ${report.gatedIn} gated in, ${report.abandoned} abandoned, ${report.unclaimed} unclaimed, ${report.collected} collected, ${report.failed} failed, ${report.left} left for the next sweep`
}

await serve({
  name: 'sweep',
  kinds: [],
  handle: async () => 'nothing',
  handleEvent: async (_context, event, signal) => await onEvent(event, signal),
  log,
  metrics,
})
