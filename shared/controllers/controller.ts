// Runs a step: observe the object, decide, act under its work lease, write the outcome, decide again. What a step is stands in a table of its
// own function (docs/design/0009-controllers.md).

import type { SteppedKind } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { runningMetadata } from '#shared/domain/step-label.ts'
import { asError, type DormouseError, isApiTrouble, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { announce, type EventWords } from './announce.ts'
import type { StepDeps } from './deps.ts'
import { type Outcome, writeOutcome } from './outcome.ts'
import { type FirstPatch, keepStatus, type WorkLease, type WorkLeaseOptions, withWorkLease } from './work-lease.ts'

/** One delivery: the object as it was read last. `signal` aborts when the request has to come to an end. */
export type Run<Name extends SteppedKind, Deps extends StepDeps = StepDeps> = {
  deps: Deps
  object: KindTypes[Name]
  signal: AbortSignal
}

/** What an action under the work lease is given. */
export type Work<Name extends SteppedKind, Deps extends StepDeps = StepDeps> = { deps: Deps; lease: WorkLease<Name> }

/** What an action leaves to be written, and a few words for the log. `event`: told beside the object, before its status says it. */
export type Result<Name extends SteppedKind> = { outcome: Outcome<Name>; why: string; event?: EventWords }

type Decision = { kind: string }

/** Needs no work lease. Answers words for the log, or another decision, which is acted on instead. */
type ActionAtOnce<Name extends SteppedKind, Deps extends StepDeps, Own extends Decision, Any extends Decision> = {
  atOnce: (run: Run<Name, Deps>, step: Own) => Promise<string | Any>
}

type ActionUnderLease<Name extends SteppedKind, Deps extends StepDeps, Own extends Decision> = {
  act: (work: Work<Name, Deps>, step: Own) => Promise<Result<Name>>
  /** The patch that begins it, which also takes the object out of every source's selector. Default: `running`, and the finalizer. */
  begin?: (run: Run<Name, Deps>) => FirstPatch<Name>
  /** What has to be had before the Lease is taken; `work` calls what it is given before the last write, whose event may start the next step. */
  around?: (run: Run<Name, Deps>, work: (free: () => void) => Promise<string>) => Promise<string>
}

/** A step as a table: its kind, what is decided, and what is done for each decision. */
export type Controller<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision> = {
  kind: Name
  decide: (deps: Deps, object: KindTypes[Name]) => Step | Promise<Step>
  actions: {
    [Kind in Step['kind']]:
      | ActionAtOnce<Name, Deps, Extract<Step, { kind: Kind }>, Step>
      | ActionUnderLease<Name, Deps, Extract<Step, { kind: Kind }>>
  }
  /** What an error of an action leaves to be written; what it throws is answered with 503. Never asked about trouble of the Kubernetes API. */
  failed: (work: Work<Name, Deps>, error: Error, step: Step) => Promise<Result<Name>>
  /** Asked with the object as it stands at each renewal: must the work that `step` began stop? Default: never. */
  mustStop?: (run: Run<Name, Deps>, step: Step) => boolean | Promise<boolean>
  /** The status is written while the Lease is held, and not with the label: the work was dear, and must not hang on one write that meets another. */
  keepsStatus?: true
  /** After the outcome is written: what others are shown or given. */
  after?: (run: Run<Name, Deps>, result: Result<Name>) => Promise<void>
  /** What was asked for meanwhile wakes nobody, as the label keeps the object out of every selector: is it decided on right away? Default: no. */
  goesOn?: (run: Run<Name, Deps>, step: Step) => boolean | Promise<boolean>
}

/** Reads the object and does at most one step. Safe twice and in any order. */
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

/** As runStep, for an object that was just read. `again` reads it once more, and decides anew. */
export async function reconcile<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  controller: Controller<Name, Deps, Step>,
  run: Run<Name, Deps>,
  again: () => Promise<string>,
): Promise<string> {
  let step = await controller.decide(run.deps, run.object)
  for (;;) {
    const row = rowOf(controller, step)
    if ('act' in row) {
      const turn = { controller, run, step, again }
      const work = (free: () => void) => underLease(turn, row, free)
      return await (row.around === undefined ? work(() => undefined) : row.around(run, work))
    }
    const done = await row.atOnce(run, step)
    if (typeof done === 'string') return done
    step = done
  }
}

type Row<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision> =
  | ActionAtOnce<Name, Deps, Step, Step>
  | ActionUnderLease<Name, Deps, Step>

/** The row of a decision takes decisions of its own kind only, so this one fits. */
function rowOf<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision>(
  { actions }: Controller<Name, Deps, Step>,
  { kind }: Step,
): Row<Name, Deps, Step> {
  return actions[kind as Step['kind']] as Row<Name, Deps, Step>
}

/** What was decided on an object, and how to come back to it. */
type Turn<Name extends SteppedKind, Deps extends StepDeps, Step extends Decision> = {
  controller: Controller<Name, Deps, Step>
  run: Run<Name, Deps>
  step: Step
  again: () => Promise<string>
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

/** Trouble of the Kubernetes API says nothing about the work, and its outcome could not be written now. */
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
 * What may be better soon, so that the work waits instead of failing: whatever can be tried again, a right that is missing, as somebody may
 * grant it, and TerminalErrors of the `others`.
 */
export function isPassing(error: unknown, others: readonly string[] = []): error is DormouseError {
  if (error instanceof RetryableError) return !isApiTrouble(error)
  return error instanceof TerminalError && (error.reason === 'Forbidden' || others.includes(error.reason))
}
