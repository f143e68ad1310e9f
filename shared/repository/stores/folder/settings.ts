// A store in a folder as plain data: it crosses to the mover.

import type { StoreSettings } from '#shared/ports/stores.ts'

export type FolderSettings = {
  kind: 'folder'
  /** Absolute, as it was written; the repository is the folder itself. */
  path: string
  /** The folder that the deployment gives to stores: where `path` really is, links followed, has to be below it. */
  within: string
}

/** The registry hands each kind its own settings and no other. */
export function requireFolder(settings: StoreSettings): FolderSettings {
  if (isFolder(settings)) return settings
  throw new Error(`settings of a store of kind ${settings.kind} came to the folder store`)
}

function isFolder(settings: StoreSettings): settings is FolderSettings {
  return settings.kind === 'folder'
}
