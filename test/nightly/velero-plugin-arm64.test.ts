// The plugin's file for arm64, on a machine of another architecture: its handshake and its list under qemu. This proves nothing else about it.
// Fetches 45 MB of Node and 65 MB of qemu, once per machine.

import { execFileSync } from 'node:child_process'
import { suite } from 'uvu'
import { PROJECT } from '#test/environment/process/tools.ts'
import { killLeftPlugins } from '#test/unit/velero/go-plugin-client.ts'
import { assertListed, assertOldLibraries } from '../system/support/plugin-checks.ts'
import { builtPlugin, debianFiles } from '../system/support/plugin-file.ts'

const emulated = suite("Velero's plugin for arm64")

emulated.before(() => {
  execFileSync(process.execPath, ['hack/velero-plugin.ts', 'arm64'], { cwd: PROJECT })
})
emulated.after(killLeftPlugins)

emulated('it shakes hands and lists its actions', async () => {
  const files = debianFiles('arm64')
  const qemu = [`${files}/usr/bin/qemu-aarch64-static`, '-L', `${files}/usr/aarch64-linux-gnu`]
  await assertListed({ command: [...qemu, builtPlugin('arm64')] })
})

emulated('it needs no newer C and C++ library than Velero has, and no other library', () => {
  assertOldLibraries('arm64')
})

emulated.run()
