/** Called with a problem that was found and worked around: a corrupt page of the parent, an index run that does not open. */
export type Warn = (reason: string, message: string) => void
