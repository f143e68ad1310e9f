// Without any event source the sweep alone brings everything to its right end, and says that it had to.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { backUp, claimRepository, remove, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const WAITING = { timeoutMs: 60_000 }

const sweepOnly = suite('the sweep alone')
let environment: Environment

sweepOnly.before(async () => {
  environment = await startEnvironment({
    adapters: false,
    pingEveryMs: { 'dormouse-sweep': 1000 },
    env: { DORMOUSE_DUE_SECONDS: '1' },
    idleMs: 60_000,
  })
})
sweepOnly.after(async () => {
  await environment.stop()
})

sweepOnly('a backup, its restore and its deletion end right', async () => {
  const repository = await claimRepository(environment, WAITING)
  const volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('orders', 4 * MIB) }])
  const backup = await backUp(environment, CLAIM, repository, WAITING)
  const restored = await restore(environment, backup, 'restored', WAITING)
  assert.is(await sha256(restored.volume.file), await sha256(volume.file))
  await remove(environment, backup, WAITING)
})

sweepOnly('the rescues are counted, one at least for each object', async () => {
  const metrics = (await environment.metricsOf('sweep')).join('\n')
  for (const kind of [
    'BackupRepositoryClaim',
    'Snapshot',
    'Upload',
    'CloneFromSnapshot',
    'Download',
    'DeleteSnapshot',
  ]) {
    const line = metrics.split('\n').find((one) => one.includes(`"${kind}"`) && one.includes('"rescue"'))
    assert.ok(Number(line?.split(' ').at(-1)) >= 1, `${kind}: ${line}`)
  }
})
sweepOnly.run()
