// The plugin's program. Velero starts it from its plugins folder; an init container runs it with `install`, to put it there.

import { startedByVelero } from './host/handshake.ts'
import { servePlugin } from './host/serve.ts'
import { install } from './install.ts'

const [command, folder] = process.argv.slice(2)
if (command === 'install' && !startedByVelero(process.env)) install(folder)
void servePlugin(async () => (await import('./wire.ts')).wireActions())
