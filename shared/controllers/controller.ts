// Runs a step: read the object, decide, act under the object's work lease, write the outcome, decide again. Each function describes its
// step as a table (docs/design/0009-controllers.md).

import type { SteppedKind } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { runningMetadata } from '#shared/domain/step-label.ts'
import { messageForTenant } from '#shared/domain/tenant-message.ts'
import { asError, type DormouseError, isApiTrouble, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { announce, type EventWords } from './announce.ts'
import type { StepDeps } from './deps.ts'
import { type Outcome, writeOutcome } from './outcome.ts'
import { type FirstPatch, keepStatus, type WorkLease, type WorkLeaseOptions, withWorkLease } from './work-lease.ts'

/** One delivery with the object as it was last read. `signal` aborts when the request must end. */
export type Run<Name extends SteppedKind, Deps extends StepDeps = StepDeps> = {
  deps: Deps
  object: KindTypes[Name]
  signal: AbortSignal
}

/** The arguments of an action that runs under the work lease. */
export type Work<Name extends SteppedKind, Deps extends StepDeps = StepDeps> = { deps: Deps; lease: WorkLease<Name> }

/** What an action wants written, and a short text for the log. `event` is announced before the status is written. */
export type Result<Name extends SteppedKind> = { outcome: Outcome<Name>; why: string; event?: EventWords }

type Decision = { kind: string }

/** Needs no work lease. Returns a text for the log, or another decision, which the controller acts on instead. */
type ActionAtOnce<Name extends SteppedKind, Deps extends StepDeps, Own extends Decision, Any extends Decision> = {
  atOnce: (run: Run<Name, Deps>, step: Own) => Promise<string | Any>
}

type ActionUnderLease<Name extends SteppedKind, Deps extends StepDeps, Own extends Decision> = {
  act: (work: Work<Name, Deps>, step: Own) => Promise<Result<Name>>
  /** The patch that starts the work and takes the object out of every source's selector. Default: the label `running` and the finalizer. */
  begin?: (run: Run<Name, Deps>) => FirstPatch<Name>
  /**
   * Acquires what the action needs before the Lease is taken. `work` calls `free` before the last write, because the event of that write
   * may start the next step.
   */
  around?: (run: Run<Name, Deps>, work: (free: () => void) => Promise<string>) => Promise<string>
}

/** A step as a table: its kind, how it decides, and the action for each decision. */
export type Controller<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision> = {
  kind: Name
  decide: (deps: Deps, object: KindTypes[Name]) => Step | Promise<Step>
  actions: {
    [Kind in Step['kind']]:
      | ActionAtOnce<Name, Deps, Extract<Step, { kind: Kind }>, Step>
      | ActionUnderLease<Name, Deps, Extract<Step, { kind: Kind }>>
  }
  /**
   * Turns an error of an action under the Lease into the result to write. An error that it throws is answered as shared/runtime/receiver.ts says:
   * with 503, so that the event is delivered again, but a TerminalError with 202, so that only the sweep comes back to the object. Errors of the
   * Kubernetes API never reach it.
   */
  failed: (work: Work<Name, Deps>, error: Error, step: Step) => Promise<Result<Name>>
  /** Called with the object as read after each renewal: must the work that `step` began stop? Default: never. */
  mustStop?: (run: Run<Name, Deps>, step: Step) => boolean | Promise<boolean>
  /**
   * Write the status while the Lease is still held, separately from the label. Set this where the work is expensive and its result must not
   * be lost to a write conflict.
   */
  keepsStatus?: true
  /** Runs after the outcome is written, for example to show progress elsewhere or to free a slot. */
  after?: (run: Run<Name, Deps>, result: Result<Name>) => Promise<void>
  /**
   * Decide again right away? While the step runs, its label keeps the object out of every selector, so a request that arrives meanwhile
   * wakes no function. Default: no.
   */
  goesOn?: (run: Run<Name, Deps>, step: Step) => boolean | Promise<boolean>
}

/** Reads the object and does at most one step. Idempotent, and safe in any order. */
export async function runStep<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  controller: Controller<Name, Deps, Step>,
  deps: Deps,
  { namespace, name }: { namespace: string | undefined; name: string },
  signal: AbortSignal,
): Promise<string> {
  const object = await deps.cluster.read(controller.kind, namespace, name)
  if (object === undefined) return 'gone'
  const again = () => runStep(controller, deps, { namespace, name }, signal)
  return await reconcile(controller, { deps, object, signal }, again)
}

/**
 * Like runStep, for an object that the caller has just read. `again` reads the object once more and decides anew. Throws RetryableError,
 * with the same reason, for a TerminalError of `decide` or of a row that is done at once. No Lease is held there, so `failed` cannot write
 * it: an Event shows it, and the work is tried again.
 */
export async function reconcile<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  controller: Controller<Name, Deps, Step>,
  run: Run<Name, Deps>,
  again: () => Promise<string>,
): Promise<string> {
  const due = await nextAct(controller, run, again)
  return typeof due === 'string' ? due : await due()
}

/** Decides, and does what is done at once. Answers words for the log, or what has to be done under the Lease, with errors of its own. */
async function nextAct<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  controller: Controller<Name, Deps, Step>,
  run: Run<Name, Deps>,
  again: () => Promise<string>,
): Promise<string | (() => Promise<string>)> {
  try {
    let step = await controller.decide(run.deps, run.object)
    for (;;) {
      const row = rowOf(controller, step)
      if ('act' in row) return actUnderLease({ controller, run, step, again }, row)
      const done = await row.atOnce(run, step)
      if (typeof done === 'string') return done
      step = done
    }
  } catch (error) {
    if (!(error instanceof TerminalError) || isApiTrouble(error)) throw error
    await announce(run.deps, run.object, 'Warning', error.reason, eventText(error))
    throw triedAgain(error, run.deps.settings.backoffUnitMs)
  }
}

/** The same text for each attempt, so that there is one Event. Its readers may not be allowed to read what a server has answered. */
function eventText({ reason, message }: TerminalError): string {
  return messageForTenant(reason, message, 'the log of the function')
}

/** The receiver logs the whole message. */
function triedAgain({ reason, message, cause }: TerminalError, delayMs: number): RetryableError {
  return new RetryableError(reason, message, { cause, retryAfterSeconds: Math.ceil(delayMs / SECOND_MS) })
}

type Row<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision> =
  | ActionAtOnce<Name, Deps, Step, Step>
  | ActionUnderLease<Name, Deps, Step>

/** The type of `actions` gives each decision kind its own row, so the cast is safe. */
function rowOf<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  { actions }: Controller<Name, Deps, Step>,
  { kind }: Step,
): Row<Name, Deps, Step> {
  return actions[kind as Step['kind']] as Row<Name, Deps, Step>
}

/** A decision on an object, and the function that reads the object and decides again. */
type Turn<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision> = {
  controller: Controller<Name, Deps, Step>
  run: Run<Name, Deps>
  step: Step
  again: () => Promise<string>
}

function actUnderLease<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  turn: Turn<Name, Deps, Step>,
  row: ActionUnderLease<Name, Deps, Step>,
): () => Promise<string> {
  const work = (free: () => void) => underLease(turn, row, free)
  return () => (row.around === undefined ? work(() => undefined) : row.around(turn.run, work))
}

async function underLease<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  turn: Turn<Name, Deps, Step>,
  row: ActionUnderLease<Name, Deps, Step>,
  free: () => void,
): Promise<string> {
  const { controller, run, step, again } = turn
  const done = await withWorkLease(run.deps, optionsFor(turn, row), async (lease) => {
    const result = await actOrFail(turn, row, { deps: run.deps, lease })
    if (result.event !== undefined) await announce(run.deps, lease.latest(), ...result.event)
    return controller.keepsStatus === true ? { ...result, outcome: await keepStatus(lease, result.outcome) } : result
  })
  if (done.held) return 'claimed elsewhere'
  free()
  const object = await writeOutcome(run.deps, controller.kind, done.object, done.value.outcome)
  const written = { ...run, object }
  await controller.after?.(written, done.value)
  const goesOn = !run.signal.aborted && (await controller.goesOn?.(written, step)) === true
  return goesOn ? await again() : done.value.why
}

function optionsFor<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  { controller, run, step }: Turn<Name, Deps, Step>,
  row: ActionUnderLease<Name, Deps, Step>,
): WorkLeaseOptions<Name> {
  return {
    kind: controller.kind,
    object: run.object,
    firstPatch: row.begin?.(run) ?? { metadata: runningMetadata(run.object) },
    isCancelled: (object) => controller.mustStop?.({ ...run, object }, step) ?? false,
    signal: run.signal,
  }
}

/** An error of the Kubernetes API says nothing about the work, and while the API fails the outcome could not be written either. */
async function actOrFail<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  { controller, step }: Turn<Name, Deps, Step>,
  row: ActionUnderLease<Name, Deps, Step>,
  work: Work<Name, Deps>,
): Promise<Result<Name>> {
  try {
    return await row.act(work, step)
  } catch (error) {
    if (isApiTrouble(error)) throw error
    return await controller.failed(work, asError(error), step)
  }
}

/**
 * Whether the condition behind an error may pass, so that the work waits instead of failing. This is true for every retryable error, for a
 * missing right (an administrator may grant it), and for TerminalErrors whose reason is in `others`.
 */
export function isPassing(error: unknown, others: readonly string[] = []): error is DormouseError {
  if (error instanceof RetryableError) return !isApiTrouble(error)
  return error instanceof TerminalError && (error.reason === 'Forbidden' || others.includes(error.reason))
}
