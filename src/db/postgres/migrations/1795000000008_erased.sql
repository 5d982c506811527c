-- A row kept for an undo can be erased, for a user who has to be erased: what is left says that it was kept.
-- Up Migration

ALTER TABLE usage_undo
  ADD COLUMN erased_at timestamptz,
  ADD CONSTRAINT usage_undo_erased_has_no_row CHECK (erased_at IS NULL OR replaced IS NULL);

-- Down Migration

-- Without the column an erased row would mean that there was no row, and an undo would delete the present one.
DELETE FROM usage_undo WHERE erased_at IS NOT NULL;
ALTER TABLE usage_undo DROP CONSTRAINT usage_undo_erased_has_no_row, DROP COLUMN erased_at;
