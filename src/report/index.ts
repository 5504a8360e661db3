export { renderReport, reportParts } from './page.ts'
export { brief, csv, markdown } from './tables.ts'
