// The settings of a store in a folder as plain data, which is sent to the mover.

import type { StoreSettings } from '#shared/ports/stores.ts'

export type FolderSettings = {
  kind: 'folder'
  /** Absolute, as configured. The repository is the folder itself. */
  path: string
  /** The folder that the deployment gives to stores. The real path of `path`, with links resolved, must be below it. */
  within: string
}

/** The registry passes each kind only its own settings. */
export function requireFolder(settings: StoreSettings): FolderSettings {
  if (isFolder(settings)) return settings
  throw new Error(`settings of a store of kind ${settings.kind} came to the folder store`)
}

function isFolder(settings: StoreSettings): settings is FolderSettings {
  return settings.kind === 'folder'
}
