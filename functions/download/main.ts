// Wires the download function.

import { serve } from '#shared/runtime/serve.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireTransfers } from '#shared/wiring/mover.ts'
import { handleDownload } from './handler.ts'

const { deps, log, metrics } = wireLight('download')
const wired = wireTransfers('download', deps, metrics)
await serve({
  name: 'download',
  kinds: ['Download'],
  handle: (context, ref, signal) => handleDownload(context, ref, { ...wired, log: context.log }, signal),
  log,
  metrics,
  onStop: async () => {
    await wired.mover.close()
    await wired.volumes.close()
  },
})
