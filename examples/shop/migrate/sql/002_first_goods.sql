insert into goods (name, description, cents, stock) values
    ('Notebook', 'A5, dotted, lies flat when open.',             690, 42),
    ('Pencil',   'Cedar, HB. Sold one at a time, as it should be.', 120, 310),
    ('Teapot',   'Short and stout. It does not brew coffee.',   2850,  7),
    ('Lantern',  'Burns all night, asks for nothing.',          3400,  3),
    ('Umbrella', 'For the days when it would be a pity.',       1990,  0);
