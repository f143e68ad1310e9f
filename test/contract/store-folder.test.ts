// The object store in a folder keeps the contract of the port.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FolderObjectStore } from '#shared/repository/stores/folder/store.ts'
import { storeSuite } from './store-suite.ts'

storeSuite('object store in a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dormouse-store-'))
  const open = async () => new FolderObjectStore(folder, { syncs: false })
  return { store: await open(), open, stop: () => rm(folder, { recursive: true, force: true }) }
})
