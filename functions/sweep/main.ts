// Wires the sweep: each tick of its PingSource is one look at everything unfinished.

import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { STEP_OF_KIND } from '#shared/domain/step-label.ts'
import { asError, RetryableError } from '#shared/kernel/errors.ts'
import { Counter } from '#shared/runtime/metrics.ts'
import { type EventAttributes, type ObjectRef, refFromEvent } from '#shared/runtime/ref.ts'
import { serve } from '#shared/runtime/serve.ts'
import { functionUrl, sendWake } from '#shared/runtime/wake.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { noteDeadLetter, sweep } from './handler.ts'

const { deps, log, metrics } = wireLight('sweep')
const rescues = new Counter('dormouse_sweep_wakeups_total', 'Wake-ups by the sweep: rescue measures lost events.')
metrics.all.push(rescues)
const { brokerUrl, functionUrlTemplate } = deps.settings

/** To the broker; straight to the function when the broker refuses (design §3.1). */
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

const SWEPT = Object.keys(STEP_OF_KIND).filter((kind): kind is KindName => kind in KINDS)

async function onEvent(event: EventAttributes): Promise<string> {
  const code = event['knativeerrorcode']
  if (code !== undefined) return await noteDeadLetter(deps, refFromEvent(event, SWEPT), String(code).slice(0, 16))
  const report = await sweep({ ...deps, wake, count: (kind, cause) => rescues.add({ kind, cause }) })
  return `looked at ${report.looked}: ${report.rescued} rescued, ${report.scheduled} scheduled, ${report.gatedIn} gated in, ${report.failed} failed`
}

await serve({
  name: 'sweep',
  kinds: [],
  handle: async () => 'nothing',
  handleEvent: async (_context, event) => await onEvent(event),
  log,
  metrics,
})
