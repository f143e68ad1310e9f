// Wires the delete function.

import { serve } from '#shared/runtime/serve.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireRepositories } from '#shared/wiring/repositories.ts'
import { wireVolumes } from '#shared/wiring/volumes.ts'
import { handleDelete } from './handler.ts'

const { deps, log, metrics } = wireLight('delete')
const wired = wireRepositories(wireVolumes(deps))
await serve({
  name: 'delete',
  kinds: ['DeleteSnapshot'],
  handle: (context, ref, signal) => handleDelete(context, ref, { ...wired, log: context.log }, signal),
  log,
  metrics,
  onStop: () => wired.volumes.close(),
})
