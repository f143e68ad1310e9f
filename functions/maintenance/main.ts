// Wires the maintenance function: a tick of its PingSource begins a prune, and the sweep's events continue it.

import { underTaskLease } from '#shared/controllers/task.ts'
import { Counter } from '#shared/runtime/metrics.ts'
import { serve } from '#shared/runtime/serve.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireRepositories } from '#shared/wiring/repositories.ts'
import { maintain } from './handler.ts'

const { deps, log, metrics } = wireLight('maintenance')
const objects = new Counter('dormouse_prune_objects_total', 'Objects that prune removed from repositories.')
const bytes = new Counter('dormouse_prune_bytes_total', 'Bytes that prune removed from repositories.')
metrics.all.push(objects, bytes)
const wired = {
  ...wireRepositories(deps),
  count: (kind: string, objectsRemoved: number, bytesRemoved: number) => {
    objects.add({ kind }, objectsRemoved)
    bytes.add({ kind }, bytesRemoved)
  },
}
const TASK = { name: 'maintenance', gapMs: deps.settings.maintenanceGapMs }

await serve({
  name: 'maintenance',
  kinds: [],
  handle: async () => 'nothing',
  handleEvent: async (context, event, signal) => {
    const run = { ...wired, log: context.log }
    // The sweep's events name a repository; the schedule's events name no object. `go on` finds work only where a prune is due.
    if (event['kind'] !== undefined) return await maintain(run, signal, 'go on')
    return await underTaskLease(deps, TASK, () => maintain(run, signal, 'begin'))
  },
  log,
  metrics,
})
