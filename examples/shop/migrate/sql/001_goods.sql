create table goods (
    id          bigint generated always as identity primary key,
    name        text    not null unique,
    description text    not null,
    cents       integer not null check (cents >= 0),
    stock       integer not null check (stock >= 0)
);
